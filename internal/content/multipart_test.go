package content

import (
	"bytes"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

func TestEncodeMultipart(t *testing.T) {
	parts := []Part{
		{Name: "plain", Data: []byte("a\r\nb")},
		{Name: "naïve \"x\"\r\n", Filename: "na\"me\n.PNG", Data: []byte{0, 255}},
		{Name: "empty", HasFilename: true},
		{Name: "own", Filename: "a.json", ContentType: "text/x", Headers: fields("X-Note", "é\t1", "x-note", "2")},
		{Name: "typed", Filename: "a.json", Headers: fields("content-type", "a/b")},
	}
	body, ct, err := EncodeMultipart(parts, "XX")
	if err != nil {
		t.Fatal(err)
	}
	want := "--XX\r\nContent-Disposition: form-data; name=\"plain\"\r\n\r\na\r\nb\r\n" +
		"--XX\r\nContent-Disposition: form-data; name=\"naïve %22x%22%0D%0A\"; filename=\"na%22me%0A.PNG\"\r\nContent-Type: image/png\r\n\r\n\x00\xff\r\n" +
		"--XX\r\nContent-Disposition: form-data; name=\"empty\"; filename=\"\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n" +
		"--XX\r\nContent-Disposition: form-data; name=\"own\"; filename=\"a.json\"\r\nContent-Type: text/x\r\nX-Note: é\t1\r\nx-note: 2\r\n\r\n\r\n" +
		"--XX\r\nContent-Disposition: form-data; name=\"typed\"; filename=\"a.json\"\r\ncontent-type: a/b\r\n\r\n\r\n" +
		"--XX--\r\n"
	if string(body) != want {
		t.Errorf("body is\n%q\nwant\n%q", body, want)
	}
	if ct != "multipart/form-data; boundary=XX" {
		t.Errorf("content type is %q", ct)
	}
	if spare := cap(body) - len(body); spare > 1024 {
		t.Errorf("body has %d spare bytes", spare)
	}
}

func TestEncodeMultipartBoundary(t *testing.T) {
	one, ct1, err1 := EncodeMultipart(nil, "")
	_, ct2, err2 := EncodeMultipart(nil, "")
	if err1 != nil || err2 != nil || ct1 == ct2 {
		t.Errorf("two random boundaries: %q, %q (%v, %v)", ct1, ct2, err1, err2)
	}
	if !strings.HasPrefix(string(one), "--") || !strings.HasSuffix(string(one), "--\r\n") {
		t.Errorf("a body without parts is %q", one)
	}
	_, ct, err := EncodeMultipart(nil, "a b:c")
	if err != nil || ct != `multipart/form-data; boundary="a b:c"` {
		t.Errorf("quoted boundary: %q, %v", ct, err)
	}
	if _, params, err := mime.ParseMediaType(ct); err != nil || params["boundary"] != "a b:c" {
		t.Errorf("it reads back as %q, %v", params, err)
	}
}

func TestEncodeMultipartRefuses(t *testing.T) {
	good := Part{Name: "a"}
	for _, tc := range []struct {
		name     string
		part     Part
		boundary string
		field    string
	}{
		{"no name", Part{}, "", "multipart.parts[1].name"},
		{"control character in the name", Part{Name: "a\x00"}, "", "multipart.parts[1].name"},
		{"control character in the file name", Part{Name: "a", Filename: "\x1b"}, "", "multipart.parts[1].filename"},
		{"line end in the content type", Part{Name: "a", ContentType: "a/b\r\nX: y"}, "", "multipart.parts[1].content_type"},
		{"header name", Part{Name: "a", Headers: fields("x", "1", "a b", "1")}, "", "multipart.parts[1].headers[1].name"},
		{"header name with a line end", Part{Name: "a", Headers: fields("a\r\nb", "1")}, "", "multipart.parts[1].headers[0].name"},
		{"header value with a line end", Part{Name: "a", Headers: fields("a", "1\r\nb: 2")}, "", "multipart.parts[1].headers[0].value"},
		{"own disposition", Part{Name: "a", Headers: fields("content-Disposition", "x")}, "", "multipart.parts[1].headers[0].name"},
		{"length", Part{Name: "a", Headers: fields("Content-Length", "1")}, "", "multipart.parts[1].headers[0].name"},
		{"transfer coding", Part{Name: "a", Headers: fields("Transfer-Encoding", "chunked")}, "", "multipart.parts[1].headers[0].name"},
		{"type twice", Part{Name: "a", ContentType: "a/b", Headers: fields("Content-Type", "c/d")}, "", "multipart.parts[1].headers[0].name"},
		{"type twice in the headers", Part{Name: "a", Headers: fields("content-type", "a/b", "Content-Type", "c/d")}, "", "multipart.parts[1].headers[1].name"},
		{"boundary in the data", Part{Name: "a", Data: []byte("x\r\n--XX\r\n")}, "XX", "multipart.boundary"},
		{"boundary in a header's name", Part{Name: "a", Headers: fields("--XX", "y")}, "XX", "multipart.boundary"},
		{"boundary with a bad character", good, "a\"b", "multipart.boundary"},
		{"boundary with a line end", good, "a\r\n", "multipart.boundary"},
		{"boundary that ends in a space", good, "a ", "multipart.boundary"},
		{"boundary too long", good, strings.Repeat("a", 71), "multipart.boundary"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			body, _, err := EncodeMultipart([]Part{good, tc.part}, tc.boundary)
			var e *fault.Error
			if !errors.As(err, &e) || e.Kind != fault.InvalidRequest || body != nil {
				t.Fatalf("EncodeMultipart = %q, %v, want an InvalidRequest", body, err)
			}
			if got := e.Violations[0].Field; got != tc.field {
				t.Errorf("the fault is of %s, want %s", got, tc.field)
			}
		})
	}
}

func TestTypeByName(t *testing.T) {
	for name, want := range map[string]string{
		"":              octets,
		"a":             octets,
		"a.":            octets,
		"a.nonsense":    octets,
		"a.b/c":         octets,
		"A.JPG":         "image/jpeg",
		"a.tar.gz":      "application/gzip",
		"a.tar":         "application/x-tar",
		".csv":          "text/csv",
		"dir/a.webm":    "video/webm",
		"a.woff2":       "font/woff2",
		"übersicht.pdf": "application/pdf",
	} {
		if got := typeByName(name); got != want {
			t.Errorf("typeByName(%q) = %q, want %q", name, got, want)
		}
	}
}

func FuzzMultipart(f *testing.F) {
	f.Add("a", "f.png", true, "", "X-A", "b", []byte("data"), "")
	f.Add("é\"\r\n", "", false, "text/plain", "X", "", []byte("\r\n--XX--\r\n"), "XX")
	f.Add("n", "x", true, "", "--b", "", []byte("--b"), "b c")
	f.Fuzz(func(t *testing.T, name, filename string, hasFilename bool, typ, header, value string, data []byte, boundary string) {
		before := bytes.Clone(data)
		parts := []Part{
			{Name: name, Filename: filename, HasFilename: hasFilename, ContentType: typ, Headers: fields(header, value), Data: data},
			{Name: "last", Data: data},
		}
		body, ct, err := EncodeMultipart(parts, boundary)
		if !bytes.Equal(data, before) {
			t.Fatal("the data was modified")
		}
		if err != nil {
			if !errors.Is(err, fault.InvalidRequest) {
				t.Fatalf("an error that is no InvalidRequest: %v", err)
			}
			return
		}
		_, params, err := mime.ParseMediaType(ct)
		if err != nil {
			t.Fatalf("content type %q: %v", ct, err)
		}
		r := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		checkFuzzedPart(t, r, &parts[0])
		checkFuzzedPart(t, r, &parts[1])
		if p, err := r.NextRawPart(); err != io.EOF {
			t.Fatalf("after the last part: %v, %v", p, err)
		}
	})
}

func checkFuzzedPart(t *testing.T, r *multipart.Reader, want *Part) {
	t.Helper()
	p, err := r.NextRawPart()
	if err != nil {
		t.Fatalf("part %q: %v", want.Name, err)
	}
	got, err := io.ReadAll(p)
	if err != nil || !bytes.Equal(got, want.Data) {
		t.Fatalf("part %q holds %q, %v, want %q", want.Name, got, err, want.Data)
	}
	for _, h := range want.Headers {
		if got := p.Header.Values(h.Name); len(got) == 0 || got[len(got)-1] != strings.Trim(string(h.Value), " \t") {
			t.Fatalf("header %q is %q, want %q", h.Name, got, h.Value)
		}
	}
	if strings.Contains(want.Name+want.Filename, `\`) {
		return // browsers leave a backslash as it is; mime takes it for an escape
	}
	_, params, err := mime.ParseMediaType(p.Header.Get("Content-Disposition"))
	if err != nil || params["name"] != string(appendPartName(nil, want.Name)) {
		t.Fatalf("name %q reads back as %q, %v", want.Name, params["name"], err)
	}
	if name, ok := params["filename"]; ok != want.isFile() || name != string(appendPartName(nil, want.Filename)) {
		t.Fatalf("file name %q reads back as %q", want.Filename, name)
	}
}
