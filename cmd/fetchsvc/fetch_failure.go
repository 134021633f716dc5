package main

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// details are what fetchsvc attaches to an error.
type details struct {
	info   *errdetails.ErrorInfo
	bad    *errdetails.BadRequest
	retry  *errdetails.RetryInfo
	ledger *fetchsvcv1.CallLedger
}

func detailsOf(st *status.Status) details {
	var d details
	for _, one := range st.Details() {
		switch detail := one.(type) {
		case *errdetails.ErrorInfo:
			if detail.GetDomain() == "fetchsvc" {
				d.info = detail
			}
		case *errdetails.BadRequest:
			d.bad = detail
		case *errdetails.RetryInfo:
			d.retry = detail
		case *fetchsvcv1.CallLedger:
			d.ledger = detail
		}
	}
	return d
}

// teller tells people why a call failed.
type teller struct {
	server  string
	verbose bool
	// begun says that an answer had begun to arrive.
	begun bool
	// late tells of a clock that ran out on this side.
	late string
	// tooLarge is what to do about RESPONSE_TOO_LARGE; empty: nothing.
	tooLarge string
}

// callError is one block that says who failed, why, and what to do.
func (t teller) callError(err error) error {
	st := status.Convert(err)
	d := detailsOf(st)
	if d.info == nil {
		return t.foreignError(st)
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s (%s)", d.info.GetReason(), d.aside())
	writeMessage(&text, st.Message(), d.bad.GetFieldViolations())
	if wait := d.retry.GetRetryDelay().AsDuration(); wait > 0 {
		fmt.Fprintf(&text, "\n  try again after %s", brief(wait))
	}
	if t.tooLarge != "" && d.info.GetReason() == string(fault.ResponseTooLarge) {
		fmt.Fprintf(&text, "\n  %s", t.tooLarge)
	}
	if d.info.GetReason() == string(fault.Unauthenticated) {
		text.WriteString("\n  set FETCHSVC_TOKEN, or give --token-file FILE, or --cert FILE and --key FILE")
	}
	if t.verbose && d.ledger != nil {
		text.WriteByte('\n')
		showWire(&text, d.ledger.GetAttempts(), hopHeads(d.ledger.GetHistory(), nil))
		writeTree(&text, failureTree(d.ledger))
	}
	return exit{errors.New(strings.TrimSuffix(text.String(), "\n")), reasonCode(d.info)}
}

// aside says on whose side the failure lies and whether trying again can help.
func (d details) aside() string {
	source := d.info.GetMetadata()["source"]
	if d.info.GetMetadata()["safe_to_retry"] == "true" {
		return source + ", safe to retry"
	}
	return source
}

// writeMessage says everything once: a request's faults make up its message.
func writeMessage(w *strings.Builder, message string, faults []*errdetails.BadRequest_FieldViolation) {
	lines := make([]string, len(faults))
	for i, f := range faults {
		lines[i] = f.GetField() + ": " + f.GetDescription()
	}
	if len(lines) > 1 && strings.Join(lines, "; ") == message {
		message = fmt.Sprintf("the request has %d faults", len(lines))
	}
	fmt.Fprintf(w, ": %s", visible(message))
	for _, l := range lines {
		if l != message {
			fmt.Fprintf(w, "\n  %s", visible(l))
		}
	}
}

// foreignError is a failure that fetchsvc did not make: it was not reached, or
// something else answered.
func (t teller) foreignError(st *status.Status) error {
	message := st.Message()
	if _, cause, ok := strings.Cut(message, "Error while dialing: "); ok {
		message = strings.TrimSuffix(cause, `"`)
	}
	message = visible(message)
	switch code := st.Code(); {
	case code == codes.DeadlineExceeded:
		return exit{errors.New(t.late), exitTimeout}
	case code == codes.Unavailable && t.begun:
		return exit{fmt.Errorf("the connection to fetchsvc at %s broke: %s", t.server, message), exitNoService}
	case code == codes.Unavailable:
		return exit{fmt.Errorf("no answer from fetchsvc at %s: %s\n  start it with `fetchsvc dev` or `fetchsvc serve`, or name its gRPC door with --server", t.server, message), exitNoService}
	case code == codes.Unimplemented:
		return exit{fmt.Errorf("what answers at %s is not fetchsvc: %s\n  name its gRPC door with --server", t.server, message), exitNoService}
	default:
		return exit{fmt.Errorf("the call to fetchsvc at %s failed: %s: %s", t.server, code, message), exitOther}
	}
}

// reasonCode gives the exit code of a reason. New reasons of a newer service
// fall to the side that they blame.
func reasonCode(info *errdetails.ErrorInfo) int {
	switch kind := fault.Kind(info.GetReason()); kind {
	case fault.InvalidRequest, fault.RequestTooLarge, fault.UploadIncomplete, fault.UploadTooLong:
		return exitInvalid
	case fault.Unauthenticated, fault.PolicyDenied, fault.AddressDenied, fault.NotGranted:
		return exitDenied
	case fault.UpstreamStatus:
		return exitStatus
	case fault.ShuttingDown:
		return exitNoService
	default:
		switch source := info.GetMetadata()["source"]; {
		case strings.HasSuffix(string(kind), "_TIMEOUT"):
			return exitTimeout
		case source == "upstream" || source == "proxy":
			return exitUpstream
		}
		return exitOther
	}
}
