package server

import (
	"context"
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// errLoop ends what would go round for ever.
var errLoop = fault.New(fault.LoopDetected,
	"the call came through this service before, as its CDN-Loop header says: an upstream of the policy leads back here")

// loopsBack says that of a call over gRPC.
func (i *interceptors) loopsBack(ctx context.Context) bool {
	if i.loopToken == "" {
		return false
	}
	values := metadata.ValueFromIncomingContext(ctx, "cdn-loop")
	return len(values) > 0 && loops(http.Header{"Cdn-Loop": values}, i.loopToken)
}

// loops says that a request has come through the instance of token before, by
// CDN-Loop (RFC 8586 section 2). An empty token has sent nothing.
func loops(h http.Header, token string) bool {
	if token == "" {
		return false
	}
	for _, field := range h["Cdn-Loop"] {
		for field != "" {
			var info string
			info, field = cutInfo(field)
			id, _, _ := strings.Cut(info, ";")
			if strings.EqualFold(strings.Trim(id, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// cutInfo parts the first member of a list from the rest. A comma in a quoted
// string parts nothing.
func cutInfo(list string) (first, rest string) {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch c := list[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			return list[:i], list[i+1:]
		}
	}
	return list, ""
}
