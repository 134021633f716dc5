package telemetry

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// check says what is wrong with a variable's value, and what it may be.
type check func(value string) error

// oneOf takes a word, whatever its case.
func oneOf(allowed ...string) check {
	return func(value string) error {
		if slices.Contains(allowed, strings.ToLower(value)) {
			return nil
		}
		return fmt.Errorf("use one of %s", strings.Join(allowed, ", "))
	}
}

// exactly takes a word as it is written: the exporters know no other case.
func exactly(allowed ...string) check {
	return func(value string) error {
		if slices.Contains(allowed, value) {
			return nil
		}
		return fmt.Errorf("use %s", strings.Join(allowed, " or "))
	}
}

func protocols(value string) error {
	if value == "http/json" {
		return errors.New("JSON is not sent: use http/protobuf or grpc")
	}
	return exactly("http/protobuf", "grpc")(value)
}

// exporterList takes a list of exporters, or none alone.
func exporterList(allowed ...string) check {
	return func(value string) error {
		said := words(value)
		for _, word := range said {
			switch {
			case word == "console":
				return fmt.Errorf("console is not served: use %s; fetchsvc dev prints each call in the terminal", strings.Join(allowed, ", "))
			case !slices.Contains(allowed, word):
				return fmt.Errorf("%q is not served: use %s", word, strings.Join(allowed, ", "))
			case word == "none" && len(said) > 1:
				return errors.New("none stands alone: take it away or take the others away")
			}
		}
		return nil
	}
}

// collectorURL takes what all exporters understand: they drop user and query, and
// read collector:4317 as a scheme.
func collectorURL(value string) error {
	u, err := url.Parse(value)
	switch {
	case err != nil:
		return errors.New("not a URL: write http://HOST:PORT or https://HOST:PORT")
	case u.Scheme != "http" && u.Scheme != "https" || u.Host == "":
		return errors.New("write http://HOST:PORT or https://HOST:PORT")
	case u.Hostname() == "":
		return errors.New("the host is missing: write http://HOST:PORT or https://HOST:PORT")
	case u.Port() != "" && within(u.Port(), 1, 65535) != nil:
		return errors.New("a port is a number from 1 to 65535")
	case u.User != nil:
		return errors.New("the user in the URL is not sent: use OTEL_EXPORTER_OTLP_HEADERS")
	case u.RawQuery != "" || u.Fragment != "":
		return errors.New("what follows the path is not sent: take it away")
	}
	return nil
}

// headerList never quotes: the values are secrets, and so may be what lacks a name.
func headerList(value string) error {
	for i, pair := range strings.Split(value, ",") {
		name, text, found := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(text)
		if err != nil {
			return fmt.Errorf("item %d: write %% as %%25", i+1)
		}
		if strings.ContainsFunc(strings.TrimSpace(plain), notField) {
			return fmt.Errorf("item %d: no header may have a control character, or any that is not of ASCII: take it away", i+1)
		}
		if name = strings.TrimSpace(name); !found || name == "" || strings.ContainsFunc(name, notToken) {
			return fmt.Errorf("item %d is not name=value: write a comma in a value as %%2C", i+1)
		}
	}
	return nil
}

// notField is for values of header fields that gRPC sends too.
func notField(r rune) bool { return r < ' ' || r > '~' }

// attributeList holds what is said of the service to what OTLP can carry: with anything
// else every export fails.
func attributeList(value string) error {
	for i, pair := range strings.Split(value, ",") {
		name, text, found := strings.Cut(pair, "=")
		plain, err := url.PathUnescape(text)
		switch {
		case !found || strings.TrimSpace(name) == "":
			return fmt.Errorf("item %d is not key=value: write a comma in a value as %%2C", i+1)
		case err != nil:
			return fmt.Errorf("item %d: write %% as %%25", i+1)
		case utf8Text(name) != nil || utf8Text(plain) != nil:
			return fmt.Errorf("item %d: write it in UTF-8", i+1)
		}
	}
	return nil
}

func utf8Text(value string) error {
	if !utf8.ValidString(value) {
		return errors.New("write it in UTF-8")
	}
	return nil
}

// notToken is for names of header fields (RFC 9110, section 5.6.2).
func notToken(r rune) bool {
	switch {
	case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
		return false
	}
	return !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

func count(value string) error { return within(value, 1, 1<<31-1) }

// queueSize: the SDK reserves the room at once.
func queueSize(value string) error { return within(value, 1, 1_000_000) }

func limit(value string) error { return within(value, -1, 1<<31-1) }

func within(value string, least, most int) error {
	if n, err := strconv.Atoi(value); err != nil || n < least || n > most {
		return fmt.Errorf("write a whole number from %d to %d", least, most)
	}
	return nil
}

func share(value string) error {
	if f, err := strconv.ParseFloat(value, 64); err != nil || !(f >= 0 && f <= 1) {
		return errors.New("write a share from 0 to 1")
	}
	return nil
}

func readable(path string) error {
	_, err := os.ReadFile(path)
	return cause(err)
}

func authorities(path string) error {
	pem, err := os.ReadFile(path)
	if err != nil {
		return cause(err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return errors.New("the file has no certificate in PEM")
	}
	return nil
}

// cause leaves the path out, which stands before it.
func cause(err error) error {
	if path := (*os.PathError)(nil); errors.As(err, &path) {
		return path.Err
	}
	return err
}

func checkPair(name, cert, key string) error {
	if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}
