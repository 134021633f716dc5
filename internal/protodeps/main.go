// Command protodeps writes the .proto files that ours import, printed from the
// descriptors linked into this module, so that the schema compiler sees exactly
// the versions that the running code has, and no registry is asked.
//
//	go run ./internal/protodeps DIR
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	_ "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate" // links buf/validate
	"github.com/jhump/protoreflect/v2/protoprint"
	_ "google.golang.org/genproto/googleapis/api/annotations" // links google/api
	_ "google.golang.org/genproto/googleapis/rpc/status"      // links google/rpc/status
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: protodeps DIR")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "protodeps:", err)
		os.Exit(1)
	}
}

// write prints every linked file but google/protobuf, which the compiler ships.
func write(dir string) (err error) {
	protoregistry.GlobalFiles.RangeFiles(func(fd protoreflect.FileDescriptor) bool {
		if strings.HasPrefix(fd.Path(), "google/protobuf/") {
			return true
		}
		var src string
		if src, err = (&protoprint.Printer{}).PrintProtoToString(fd); err != nil {
			return false
		}
		path := filepath.Join(dir, fd.Path())
		if err = os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return false
		}
		err = os.WriteFile(path, []byte(src), 0o644)
		return err == nil
	})
	return err
}
