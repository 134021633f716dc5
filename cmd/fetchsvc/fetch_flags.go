package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// flags declares what fetch understands, in curl's spelling where curl has it.
func (o *fetchOptions) flags(f *pflag.FlagSet) {
	f.SortFlags = false // they stand by topic
	o.requestFlags(f)
	o.bodyFlags(f)
	o.callFlags(f)
	o.answerFlags(f)
	o.clientOptions.flags(f)
}

func (o *fetchOptions) answerFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "write the answer to `FILE`, whole or not at all; - is stdout, even a terminal")
	f.BoolVarP(&o.include, "include", "i", false, "write the response heads before the body")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "tell on stderr what was sent, what came and how long it took")
	f.BoolVar(&o.printJSON, "print-json", false, "write the whole FetchResponse as JSON instead of the body")
	f.BoolVar(&o.streamed, "stream", false, "hand the body on as it arrives, whatever its size")
	f.BoolVar(&o.sse, "sse", false, "read the body as server-sent events and write each as a line of JSON (implies --stream)")
	f.BoolVar(&o.lines, "lines", false, "read the body as lines and write each as it arrives (implies --stream)")
	f.BoolVar(&o.noProgress, "no-progress", false, "show no progress on the terminal while --stream writes to --output, or --upload-file sends")
}

func (o *fetchOptions) requestFlags(f *pflag.FlagSet) {
	f.StringVarP(&o.method, "request", "X", "", "the `METHOD` (default GET, POST with a body, PUT with --upload-file)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "add the header `\"NAME: VALUE\"` (\"NAME;\" for an empty value; repeatable)")
	f.StringArrayVarP(&o.params, "param", "q", nil, "add the query parameter `NAME=VALUE`, encoded for you (repeatable)")
	f.StringArrayVarP(&o.cookies, "cookie", "b", nil, "send the cookies `\"NAME=VALUE; ...\"` (repeatable)")
	f.FuncP("user-agent", "A", "send this User-Agent `NAME`; \"\" sends none", func(s string) error { o.userAgent = &s; return nil })
	f.StringVar(&o.key, "idempotency-key", "", "send this `KEY` as Idempotency-Key, which makes any method safe to retry")
	f.BoolVarP(&o.head, "head", "I", false, "send HEAD and write the response heads")
}

func (o *fetchOptions) bodyFlags(f *pflag.FlagSet) {
	add := func(kind dataKind) func(string) error {
		return func(s string) error { o.data = append(o.data, datum{s, kind}); return nil }
	}
	f.FuncP("data", "d", "send `DATA`, @FILE or @- (stdin; line ends are dropped) as a form by POST; several are joined with &", add(dataText))
	f.Func("data-raw", "as --data, but @ means nothing; `DATA`", add(dataLiteral))
	f.Func("data-binary", "as --data, but a file is sent as it is; `DATA`, @FILE or @-", add(dataBinary))
	f.StringArrayVar(&o.json, "json", nil, "send `JSON`, @FILE or @- by POST, as application/json")
	part := func(literal bool) func(string) error {
		return func(s string) error { o.form = append(o.form, formArg{s, literal}); return nil }
	}
	f.FuncP("form", "F", "send the multipart field `NAME=VALUE`, NAME=@FILE;type=TYPE;filename=NAME, or NAME=<FILE (repeatable)", part(false))
	f.Func("form-string", "as --form, but every character of the value is meant; `NAME=VALUE`", part(true))
	f.BoolVarP(&o.get, "get", "G", false, "put --data into the URL's query and send GET")
	f.StringVarP(&o.uploadFile, "upload-file", "T", "", "send `FILE`, or - (stdin), by PUT as it is read (implies --stream); a URL that ends in / gets its name")
	f.BoolVar(&o.expectContinue, "expect-continue", false, "send --upload-file only when the upstream has said 100 Continue")
	f.StringArrayVar(&o.trailers, "trailer", nil, "send the trailer `\"NAME: VALUE\"` behind --upload-file, which is sent without its length (repeatable)")
}

func (o *fetchOptions) callFlags(f *pflag.FlagSet) {
	f.BoolFuncP("location", "L", "follow redirects (the default)", not(&o.noLocation))
	f.BoolVar(&o.noLocation, "no-location", false, "do not follow redirects: the 3xx is the answer")
	f.Func("max-redirs", "follow at most `N` redirects, 0 to 50 (default: policy's)", func(s string) error {
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil || n < 0 || n > 50 {
			return fmt.Errorf("write a number from 0 to 50")
		}
		most := int32(n)
		o.maxRedirs = &most
		return nil
	})
	f.FuncP("max-time", "m", "give up after this `TIME`, all hops and attempts included: seconds, or 500ms, 2m", clock(&o.maxTime))
	f.Func("connect-timeout", "give up resolving and connecting after this `TIME`", clock(&o.connectTimeout))
	f.BoolVarP(&o.fail, "fail", "f", false, "treat a status of 400 or more as a failure: no output, exit 22")
	f.BoolFunc("compressed", "undo gzip, deflate, br and zstd (the default)", not(&o.rawCoding))
	f.BoolVar(&o.rawCoding, "raw-coding", false, "hand over the body as it was coded on the wire")
	f.Func("max-response-bytes", "refuse a body over `SIZE`, such as 500KiB or 10MiB (default: policy's)", func(s string) (err error) {
		o.maxBytes, err = parseSize(s)
		return err
	})
}

// not sets the opposite flag: of the two, the last one given holds, as in curl.
func not(opposite *bool) func(string) error {
	return func(s string) error {
		on, err := strconv.ParseBool(s)
		*opposite = !on
		return err
	}
}

func clock(d *time.Duration) func(string) error {
	return func(s string) (err error) {
		*d, err = parseTime(s)
		return err
	}
}

// parseTime reads curl's seconds (`2.5`) and Go's durations (`2m30s`). 0 means
// policy's default, as it means curl's.
func parseTime(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if seconds, floatErr := strconv.ParseFloat(s, 64); floatErr == nil {
		if err = nil; math.IsNaN(seconds) || math.Abs(seconds) > 1e9 {
			seconds = -1
		}
		d = time.Duration(seconds * float64(time.Second))
	}
	if err != nil || d < 0 || d > 0 && d < time.Millisecond || d > 24*time.Hour {
		return 0, fmt.Errorf("write seconds or a duration from 1ms to 24h, such as 2.5 or 500ms")
	}
	return d, nil
}

// parseSize reads `1048576`, `1MiB`, `1MB` and curl's `1M` (a MiB).
func parseSize(s string) (int64, error) {
	digits, unit := s, ""
	if i := strings.IndexFunc(s, func(r rune) bool { return r < '0' || r > '9' }); i >= 0 {
		digits, unit = s[:i], strings.ToLower(strings.TrimSpace(s[i:]))
	}
	factor := map[string]int64{
		"": 1, "b": 1, "kb": 1e3, "mb": 1e6, "gb": 1e9,
		"k": 1 << 10, "m": 1 << 20, "g": 1 << 30, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30,
	}[unit]
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || factor == 0 || n <= 0 || n > math.MaxInt64/factor {
		return 0, fmt.Errorf("write a number of bytes above zero, with a unit if you like: 1048576, 500KiB, 10MiB")
	}
	return n * factor, nil
}
