package server

import (
	"context"
	"net/http"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
)

// restPage is the method of a REST request that is for no RPC.
const restPage = "/REST"

// restRPC gives the RPC that a request is for, as far as a caller's limits and their
// refusals ask: what is not here is a page to them.
func restRPC(r *http.Request) string {
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/fetch":
		return fetchsvcv1.FetchService_Fetch_FullMethodName
	case "POST /v1/fetch:batch":
		return fetchsvcv1.FetchService_FetchBatch_FullMethodName
	case "POST /v1/stream":
		return fetchsvcv1.FetchService_Stream_FullMethodName
	case "POST /v1/policy:explain":
		return fetchsvcv1.PolicyService_Explain_FullMethodName
	case "GET /v1/upstreams":
		return fetchsvcv1.PolicyService_ListUpstreams_FullMethodName
	case "GET /v1/policy:snapshot":
		return fetchsvcv1.PolicyService_GetSnapshot_FullMethodName
	}
	return restPage
}

// seated lets a request in if its caller's limits do; before that nothing of its
// body is read. It has its place until it is answered.
func (i *interceptors) seated(w http.ResponseWriter, r *http.Request, next http.Handler) {
	method := restRPC(r)
	seat, err := i.seat(r.Context(), method)
	if err != nil {
		if r.ProtoMajor == 1 && r.ContentLength < 0 { // net/http would read on first, until the body ends
			w.Header().Set("Connection", "close")
		}
		writeProblem(w, i.turnAwayFrom(annotate(r), method, err))
		return
	}
	defer seat.leave()
	next.ServeHTTP(w, r)
}

// seat is enter for what runs outside the interceptors, and so outside their net.
func (i *interceptors) seat(ctx context.Context, method string) (s seat, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = i.panicked(ctx, method, p)
		}
	}()
	return i.limits.enter(callerOf(ctx), method)
}
