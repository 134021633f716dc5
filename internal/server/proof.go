package server

import (
	"context"
	"net/http"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// proof is what a call brought along, beside a certificate, to prove who calls.
type proof struct {
	token string // an API key or a JWT; empty: none
	bad   error  // why it cannot be read
}

// proofNames are where a token may be, the one that wins first: where something
// on the way has Authorization for itself, the other is there.
var proofNames = [...]string{"fetchsvc-authorization", "authorization"}

// maxToken bounds a token; a JWT has a kilobyte or two.
const maxToken = 16 << 10

// takeMetadata takes the proof out of a gRPC call: nothing after it sees it.
func takeMetadata(ctx context.Context) (context.Context, proof) {
	var found [len(proofNames)][]string
	any := false
	for i, name := range proofNames {
		found[i] = metadata.ValueFromIncomingContext(ctx, name)
		any = any || len(found[i]) > 0
	}
	if !any {
		return ctx, proof{}
	}
	md, _ := metadata.FromIncomingContext(ctx) // a copy
	for _, name := range proofNames {
		md.Delete(name)
	}
	return metadata.NewIncomingContext(ctx, md), readProof(found)
}

// takeHeader does the same for an HTTP request.
func takeHeader(h http.Header) proof {
	var found [len(proofNames)][]string
	for i, name := range proofNames {
		found[i] = h.Values(name)
		h.Del(name)
	}
	return readProof(found)
}

// readProof reads the field that counts. What it cannot read it does not quote: a
// scheme that is none may be the key itself.
func readProof(found [len(proofNames)][]string) proof {
	for i, values := range found {
		switch name := proofNames[i]; {
		case len(values) == 0:
			continue
		case len(values) > 1:
			return badProof(name, "is there more than once")
		default:
			return readBearer(name, values[0])
		}
	}
	return proof{}
}

// readBearer reads RFC 6750 section 2.1. The scheme's case does not matter (RFC
// 9110 section 11.1).
func readBearer(name, value string) proof {
	scheme, token, _ := strings.Cut(value, " ")
	token = strings.Trim(token, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return badProof(name, "does not begin with Bearer")
	case token == "":
		return badProof(name, "has no token behind Bearer")
	case len(token) > maxToken:
		return badProof(name, "has a token that is too long")
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }):
		return badProof(name, "has more behind Bearer than one token")
	}
	return proof{token: token}
}

func badProof(name, what string) proof {
	return proof{bad: fault.Newf(fault.Unauthenticated,
		"%s %s: send one `%s: Bearer TOKEN`, with an API key or a JWT, or none and a client certificate", name, what, name)}
}
