package contract

import (
	"strings"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// invalidCases: what cannot be sent as written, or is over a bound, is refused
// with the field and the fix, and nothing is sent.
func invalidCases() []testCase {
	edited := func(name, field string, edit func(in *fetchsvcv1.FetchRequest), says ...string) testCase {
		c := refused(name, `"url":"http://{peer}/"`, field, says...)
		c.edit = edit
		return c
	}
	over := func(name, fields, field string, says ...string) testCase {
		c := refused(name, `"url":"http://bounded.test:{peer.port}/",`+fields, field, says...)
		return c
	}
	fields := func(n int) (out []*fetchsvcv1.Field) {
		for range n {
			out = append(out, &fetchsvcv1.Field{Name: "a", Value: "b"})
		}
		return out
	}
	deep := func(n int) *structpb.Value {
		v := structpb.NewNullValue()
		for range n {
			v = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{v}})
		}
		return v
	}
	several := refused("several faults are all named", `"method":"A B","headers":[{"name":"Host","value":"a"},{"name":"X","value":"\n"}],"json_text":"{","charset":"x-odd"`, "")
	several.want.fields = []string{"method", "headers[0].name", "headers[1].value", "json_text", "charset"}
	many := edited("forty faults", "", func(in *fetchsvcv1.FetchRequest) {
		for range 40 {
			in.Headers = append(in.Headers, &fetchsvcv1.Field{Name: "Host", Value: "a"})
		}
	})
	many.want.says, many.want.fields = nil, nil
	many.want.manyFields = true
	return []testCase{
		refused("method with a space", `"method":"GET /"`, "method", "one word"),
		refused("method with a line break", `"method":"GET\r\n"`, "method", "one word"),
		refused("method CONNECT", `"method":"CONNECT"`, "method", "tunnel"),
		refused("method connect in any case", `"method":"Connect"`, "method", "tunnel"),
		refused("method of 65 bytes", `"method":"`+strings.Repeat("M", 65)+`"`, "method"),
		edited("url of 1 MB", "url", func(in *fetchsvcv1.FetchRequest) { in.Url += strings.Repeat("a", 1<<20) }, "65536"),
		edited("params that make the URL too long", "params", func(in *fetchsvcv1.FetchRequest) {
			in.Params = []*fetchsvcv1.Field{{Name: "a", Value: strings.Repeat("b", 64<<10)}}
		}, "64 KiB"),
		edited("params: 1,001", "params", func(in *fetchsvcv1.FetchRequest) { in.Params = fields(1001) }),
		edited("headers: 201", "headers", func(in *fetchsvcv1.FetchRequest) { in.Headers = fields(201) }),
		edited("enum that is not defined", "as", func(in *fetchsvcv1.FetchRequest) { in.As = 99 }),
		edited("json 101 deep", "json", func(in *fetchsvcv1.FetchRequest) { in.Body = &fetchsvcv1.FetchRequest_Json{Json: deep(101)} }, "100 levels", "json_text"),
		edited("timeout negative", "timeouts.total", func(in *fetchsvcv1.FetchRequest) {
			in.Timeouts = &fetchsvcv1.Timeouts{Total: &durationpb.Duration{Seconds: -1}}
		}),
		refused("timeout of zero", `"timeouts":{"attempt":"0s"}`, "timeouts.attempt"),
		refused("timeout of a month", `"timeouts":{"idle":"2592000s"}`, "timeouts.idle"),
		refused("timeout of a microsecond", `"timeouts":{"connect":"0.000001s"}`, "timeouts.connect"),
		refused("max_response_bytes negative", `"max_response_bytes":"-1"`, "max_response_bytes"),
		refused("redirects.max of 51", `"redirects":{"max":51}`, "redirects.max"),
		refused("retry.max_attempts of 11", `"retry":{"max_attempts":11}`, "retry.max_attempts"),
		refused("multipart boundary with a quote", `"multipart":{"boundary":"a\"b","parts":[{"name":"a"}]}`, "multipart.boundary"),
		over("timeouts.total over the policy's", `"timeouts":{"total":"21s"}`, "timeouts.total", "20s", "bounded"),
		over("timeouts.connect over the policy's", `"timeouts":{"connect":"3s"}`, "timeouts.connect", "2s", "bounded"),
		over("timeouts.attempt over the policy's", `"timeouts":{"attempt":"6s"}`, "timeouts.attempt", "5s", "bounded"),
		several,
		many,
	}
}

// deniedCases: what policy does not allow, and addresses that nothing may reach.
func deniedCases() []testCase {
	denied := func(name, url string, says ...string) testCase {
		return testCase{name: "denied: " + name, in: `{"url":"` + url + `"}`, want: want{kind: "POLICY_DENIED", says: says}}
	}
	address := func(name, url string, says ...string) testCase {
		return testCase{name: "denied address: " + name, in: `{"url":"` + url + `"}`,
			want: want{kind: "ADDRESS_DENIED", says: says, attempts: []string{"FIRST GET UNSENT ADDRESS_DENIED"}}}
	}
	notGranted := func(field, value string) testCase {
		return testCase{name: "not granted: " + field, in: `{"url":"http://{peer}/","` + field + `":` + value + `}`,
			want: want{kind: "NOT_GRANTED", says: []string{field, "policy"}}}
	}
	return []testCase{
		denied("host that no upstream lists", "http://unlisted.example/", "http://unlisted.example", "no upstream"),
		denied("scheme that its upstream does not take", "http://secure.example:{peer.port}/", "tls-only", "https"),
		denied("address that no upstream lists", "http://192.0.2.1:{peer.port}/", "192.0.2.1"),
		address("loopback that policy does not open", "http://guarded.test:{peer.port}/", "127.0.0.1", "loopback", "unsafe_allow_addresses"),
		address("private, by its name", "http://private.test/", "private.test", "10.1.2.3"),
		address("private, by itself", "http://10.1.2.3/", "10.1.2.3", "private"),
		address("cloud metadata, by its name", "http://metadata.test/", "metadata", "nothing opens"),
		address("cloud metadata, by itself", "http://169.254.169.254/", "metadata"),
		address("one bad answer among good ones", "http://mixed.test:{peer.port}/", "10.1.2.3"),
		notGranted("credential", `"github"`),
		notGranted("proxy", `"http://proxy.test:3128"`),
		notGranted("ca_pem", `"-----BEGIN CERTIFICATE-----"`),
		notGranted("client_cert", `{"cert_pem":"x","key_pem":"y"}`),
		notGranted("skip_verify", `true`),
		notGranted("request_host", `"other.test"`),
	}
}
