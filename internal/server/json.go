package server

import (
	"bytes"
	"errors"
	"io"
	"net/http"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/content"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// jsonCodec reads and writes the API's JSON: proto names, unknown fields
// refused, and faults that name a field.
type jsonCodec struct{ runtime.JSONPb }

func newJSONCodec() *jsonCodec {
	return &jsonCodec{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{UseProtoNames: true}}}
}

// maxJSON bounds a REST request: 16 MiB of body grow by a third in base64.
const maxJSON = 24 << 20

// requestBody carries a typed fault past grpc-gateway, which keeps only text.
type requestBody struct {
	io.ReadCloser
	fault *fault.Error
}

// NewDecoder reads one message to the end of r.
func (c *jsonCodec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		err := decodeJSON(r, v)
		if body, ok := r.(*requestBody); ok && err != nil {
			body.fault = err
		}
		if err == nil {
			return nil
		}
		return err
	})
}

func decodeJSON(r io.Reader, v any) *fault.Error {
	text, err := io.ReadAll(r)
	var over *http.MaxBytesError
	var known *fault.Error
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &over):
		return fault.Newf(fault.RequestTooLarge, "the request is over %d bytes of JSON: send a larger body with Stream", over.Limit)
	case err != nil:
		return fault.Wrap(fault.InvalidRequest, err, "the request broke off")
	case len(text) == 0:
		return nil // an empty message; its constraints say what is missing
	}
	msg, ok := v.(proto.Message)
	if !ok {
		return fault.Newf(fault.Internal, "%T is no protobuf message", v)
	}
	return decodeMessage(text, msg)
}

// decodeMessage reads one message of the API.
func decodeMessage(text []byte, msg proto.Message) *fault.Error {
	if manyValues(text) {
		return fault.Invalidf("json", "there are more than %d values in the request, and each takes much memory: send the body as json_text", maxValues)
	}
	if err := (protojson.UnmarshalOptions{RecursionLimit: maxNested}).Unmarshal(text, msg); err != nil {
		return jsonFault(err, text, msg.ProtoReflect().Descriptor())
	}
	if !hasJSON(msg) {
		return nil
	}
	if literal, found := content.UnsafeJSONNumber(text); found {
		return fault.Invalidf("json", "the number %s would change as a double: send the body as json_text, which is sent as written", clip(literal, 64))
	}
	return nil
}

// maxValues bounds how many JSON values are read into messages: as a
// google.protobuf.Value each costs some 150 bytes, whatever it costs on the wire.
const maxValues = 300_000

// maxNested is how deep the API's messages may nest, on the wire or as JSON. A
// google.protobuf.Value may have 100 levels, and each is up to three messages. Every
// level costs stack, which grows by doubling: 40 KiB of brackets came to 60 MiB.
const maxNested = 400

// manyValues counts the commas and opening brackets outside strings, which is near
// enough.
func manyValues(text []byte) bool {
	if bytes.Count(text, []byte{','})+bytes.Count(text, []byte{'['})+bytes.Count(text, []byte{'{'}) <= maxValues {
		return false
	}
	begun, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '\\':
			if quoted {
				i++
			}
		case '"':
			quoted = !quoted
		case ',', '[', '{':
			if !quoted {
				begun++
			}
		}
	}
	return begun > maxValues
}

// hasJSON says that a request's body is a google.protobuf.Value, whose numbers
// are doubles.
func hasJSON(msg proto.Message) bool {
	switch m := msg.(type) {
	case *fetchsvcv1.FetchRequest:
		return m.GetJson() != nil
	case *fetchsvcv1.StreamRequest:
		return m.GetStart().GetJson() != nil
	case *fetchsvcv1.ExplainRequest:
		return m.GetRequest().GetJson() != nil
	case *fetchsvcv1.FetchBatchRequest:
		for _, r := range m.GetRequests() {
			if r.GetJson() != nil {
				return true
			}
		}
	}
	return false
}
