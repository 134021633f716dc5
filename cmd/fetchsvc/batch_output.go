package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// answers writes a batch's answers and counts them.
type answers struct {
	to io.Writer
	// waiting holds, by index, the lines whose turn has not come; nil: there are
	// no turns.
	waiting map[int][]byte
	next    int

	count, failed int
	reasons       map[string]int
	slowest       time.Duration
	slowestIndex  int
}

func newAnswers(to io.Writer, ordered bool) *answers {
	a := &answers{to: to, reasons: map[string]int{}}
	if ordered {
		a.waiting = map[int][]byte{}
	}
	return a
}

// add writes one answer of the batch that begins at index first.
func (a *answers) add(first int, answer *fetchsvcv1.FetchBatchResponse) error {
	index := first + int(answer.GetIndex())
	answer.Index = proto.Int32(int32(index))
	a.note(index, answer)
	line, err := jsonLine(answer)
	if err != nil {
		return exit{err, exitOther}
	}
	if a.waiting == nil {
		_, err = a.to.Write(line)
		return writeError(err)
	}
	a.waiting[index] = line
	for line, ok := a.waiting[a.next]; ok; line, ok = a.waiting[a.next] {
		if _, err := a.to.Write(line); err != nil {
			return writeError(err)
		}
		delete(a.waiting, a.next)
		a.next++
	}
	return nil
}

func (a *answers) note(index int, answer *fetchsvcv1.FetchBatchResponse) {
	a.count++
	if e := answer.GetError(); e != nil {
		a.failed++
		a.reasons[reasonOf(e)]++
		return
	}
	if took := answer.GetResponse().GetElapsed().AsDuration(); took >= a.slowest {
		a.slowest, a.slowestIndex = took, index
	}
}

func reasonOf(e *status.Status) string {
	st := grpcstatus.FromProto(e)
	if info := detailsOf(st).info; info != nil {
		return info.GetReason()
	}
	return st.Code().String()
}

// summary is the account of a batch of so many calls.
func (a *answers) summary(of int) string {
	out := fmt.Sprintf("%d ok, %d failed", a.count-a.failed, a.failed)
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(a.reasons)) {
		reasons = append(reasons, fmt.Sprintf("%d %s", a.reasons[reason], visible(reason)))
	}
	if len(reasons) > 0 {
		out += " (" + strings.Join(reasons, ", ") + ")"
	}
	if rest := of - a.count; rest > 0 {
		out += fmt.Sprintf(", %d not answered", rest)
	}
	if a.count > a.failed {
		out += fmt.Sprintf(", slowest %s (index %d)", brief(a.slowest), a.slowestIndex)
	}
	return out
}

// jsonLine is one line of NDJSON.
func jsonLine(answer *fetchsvcv1.FetchBatchResponse) ([]byte, error) {
	if e := answer.GetError(); e != nil { // a newer service may attach what is not known here
		e.Details = slices.DeleteFunc(e.Details, func(d *anypb.Any) bool { _, err := d.UnmarshalNew(); return err != nil })
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(answer)
	if err != nil {
		return nil, err
	}
	var line bytes.Buffer // protojson's own spaces differ from build to build
	err = json.Compact(&line, text)
	line.WriteByte('\n')
	return line.Bytes(), err
}
