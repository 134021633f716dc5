package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// write puts the answer where the flags want it.
func (o *fetchOptions) write(res *fetchsvcv1.FetchResponse, stdout io.Writer) error {
	answer, err := o.answer(res)
	if err != nil {
		return exit{err, exitOther}
	}
	switch o.output {
	case "":
		if bytes.IndexByte(answer, 0) >= 0 && isTerminal(stdout) {
			return exit{errors.New("the answer is binary and would garble the terminal: write it to a file with --output FILE, or insist with --output -"), exitOther}
		}
		fallthrough
	case "-":
		_, err = stdout.Write(answer)
	default:
		err = writeFile(o.output, answer)
	}
	if err != nil {
		return exit{fmt.Errorf("writing the answer: %w", err), exitOther}
	}
	return nil
}

// answer is what goes out: the body as it is, behind the heads if they are
// wanted, or everything as JSON.
func (o *fetchOptions) answer(res *fetchsvcv1.FetchResponse) ([]byte, error) {
	if o.printJSON {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(res)
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer // protojson's own indentation differs from build to build
		err = json.Indent(&out, text, "", "  ")
		out.WriteByte('\n')
		return out.Bytes(), err
	}
	if !o.include && !o.head {
		return res.GetBody(), nil
	}
	var out bytes.Buffer
	for _, h := range responseHeads(res) {
		h.write(&out)
	}
	out.Write(res.GetBody())
	return out.Bytes(), nil
}

// isTerminal tells a terminal from files and pipes. The null device is a
// character device too.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	if err != nil || info.Mode()&fs.ModeCharDevice == 0 {
		return false
	}
	null, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, null)
}

// probe finds out, before a call is made, that its answer could not be written.
func probe(path string) error {
	if path == "" || path == "-" {
		return nil
	}
	place, err := placeOf(path)
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	if !place.replace {
		return nil
	}
	f, err := place.create()
	if err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	_ = f.Close()
	return os.Remove(f.Name())
}

// writeFile writes beside path and renames, so that path never holds half an
// answer. Devices and pipes are written to directly.
func writeFile(path string, content []byte) error {
	place, err := placeOf(path)
	if err != nil {
		return err
	}
	if !place.replace {
		f, err := os.OpenFile(place.path, os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		return errors.Join(err, f.Close())
	}
	f, err := place.create()
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(f.Name(), place.path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// place is where an output file goes.
type place struct {
	path string // behind symbolic links
	mode fs.FileMode
	// replace says that a new file takes its place.
	replace bool
}

func placeOf(path string) (place, error) {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real // the link stays, what it points to is replaced
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return place{path, 0o666, true}, nil
	case err != nil:
		return place{}, err
	case info.IsDir():
		return place{}, fmt.Errorf("%s is a folder: name a file in it", path)
	default:
		return place{path, info.Mode().Perm(), info.Mode().IsRegular()}, nil
	}
}

// create opens a new file beside the place. Unlike os.CreateTemp's its mode is
// that of the file it replaces, or what the umask leaves.
func (p place) create() (*os.File, error) {
	name := filepath.Join(filepath.Dir(p.path), "."+filepath.Base(p.path)+"."+rand.Text()[:8])
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, p.mode)
}
