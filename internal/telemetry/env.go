package telemetry

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

const (
	otlpPrefix = "OTEL_EXPORTER_OTLP_"
	spanQueue  = "OTEL_BSP_"
	logQueue   = "OTEL_BLRP_"
)

// environment is where the variables are. The exporters read the process's own.
type environment func(name string) string

// value is what a variable says; empty is as good as unset.
func (e environment) value(name string) string { return strings.TrimSpace(e(name)) }

// otlp gives the variable that holds for a setting of a signal ("TRACES"), and its
// value; empty: neither is set.
func (e environment) otlp(signal, setting string) (name, value string) {
	for _, name := range []string{otlpPrefix + signal + "_" + setting, otlpPrefix + setting} {
		if v := e.value(name); v != "" {
			return name, v
		}
	}
	return otlpPrefix + setting, ""
}

// number is a variable that was checked; def where it is unset.
func (e environment) number(name string, def int) int {
	n, err := strconv.Atoi(e.value(name))
	if err != nil {
		return def
	}
	return n
}

// disabled says whether OTEL_SDK_DISABLED puts all of it out.
func (e environment) disabled() bool { return strings.EqualFold(e.value("OTEL_SDK_DISABLED"), "true") }

// asked says whether a signal ("TRACES") goes to the given exporter.
func (e environment) asked(signal, exporter string) bool {
	said := words(e.value("OTEL_" + signal + "_EXPORTER"))
	if len(said) == 0 {
		_, endpoint := e.otlp(signal, "ENDPOINT")
		return exporter == "otlp" && endpoint != ""
	}
	for _, word := range said {
		if word == exporter {
			return true
		}
	}
	return false
}

// check tells all that is wrong at once. The SDK and its exporters would go on
// without what they do not understand, or say so where nobody looks.
func (e environment) check() error {
	var errs []error
	for _, v := range Variables() {
		for _, name := range v.Names() {
			value := e.value(name)
			if value == "" || v.check == nil {
				continue
			}
			if err := v.check(value); err != nil {
				errs = append(errs, describe(v, name, value, err))
			}
		}
	}
	if len(errs) == 0 { // pairs are told only where each is right
		errs = append(errs, e.checkQueue(spanQueue), e.checkQueue(logQueue))
		for _, signal := range []string{"TRACES", "METRICS", "LOGS"} {
			errs = append(errs, e.checkTLS(signal))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("telemetry: %w", err)
	}
	return nil
}

func describe(v Variable, name, value string, err error) error {
	if v.secret {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(value) > 80 {
		value = value[:80] + "..."
	}
	return fmt.Errorf("%s=%s: %w", name, value, err)
}

func (e environment) checkQueue(prefix string) error {
	queue, batch := e.number(prefix+"MAX_QUEUE_SIZE", 2048), e.number(prefix+"MAX_EXPORT_BATCH_SIZE", 0)
	if batch > queue {
		return fmt.Errorf("%sMAX_EXPORT_BATCH_SIZE=%d: more than %sMAX_QUEUE_SIZE, which is %d", prefix, batch, prefix, queue)
	}
	return nil
}

// checkTLS tells where the variables of TLS contradict the endpoint's scheme.
func (e environment) checkTLS(signal string) error {
	insecureName, insecure := e.otlp(signal, "INSECURE")
	endpointName, endpoint := e.otlp(signal, "ENDPOINT")
	certName, cert := e.otlp(signal, "CLIENT_CERTIFICATE")
	keyName, key := e.otlp(signal, "CLIENT_KEY")
	authorityName, authority := e.otlp(signal, "CERTIFICATE")
	plain := strings.HasPrefix(strings.ToLower(endpoint), "http:")
	switch {
	case endpoint != "" && insecure != "" && plain != strings.EqualFold(insecure, "true"):
		return fmt.Errorf("%s=%s: the scheme of %s says otherwise: take %s away", insecureName, insecure, endpointName, insecureName)
	case (cert == "") != (key == ""):
		return fmt.Errorf("%s and %s go together: one of them is not set", certName, keyName)
	case plain && cert != "":
		return fmt.Errorf("%s: %s is without TLS: make its http an https", certName, endpointName)
	case plain && authority != "":
		return fmt.Errorf("%s: %s is without TLS: make its http an https", authorityName, endpointName)
	case cert != "":
		return checkPair(certName, cert, key)
	}
	return nil
}

// warnings are about what is understood, but has no effect.
func (e environment) warnings() (all []string) {
	if v := e.value("OTEL_SDK_DISABLED"); v != "" && !strings.EqualFold(v, "true") && !strings.EqualFold(v, "false") {
		all = append(all, "OTEL_SDK_DISABLED is neither true nor false: it counts as false")
	}
	for _, word := range words(e.value("OTEL_PROPAGATORS")) {
		if word != "tracecontext" && word != "baggage" {
			all = append(all, "OTEL_PROPAGATORS has no effect: W3C trace context and baggage are read, and the policy says what goes to upstreams")
			break
		}
	}
	if e.value("OTEL_TRACES_SAMPLER_ARG") != "" && !strings.HasSuffix(strings.ToLower(e.value("OTEL_TRACES_SAMPLER")), "traceidratio") {
		all = append(all, "OTEL_TRACES_SAMPLER_ARG has no effect without a traceidratio in OTEL_TRACES_SAMPLER")
	}
	if e.value("OTEL_CONFIG_FILE") != "" {
		all = append(all, "OTEL_CONFIG_FILE has no effect: use the variables that docs/telemetry.md lists")
	}
	return all
}

// words splits a comma list; OpenTelemetry does not mind the case.
func words(list string) (all []string) {
	for word := range strings.SplitSeq(strings.ToLower(list), ",") {
		if word = strings.TrimSpace(word); word != "" {
			all = append(all, word)
		}
	}
	return all
}
