package server

import (
	"context"
	"net/http"
	"net/textproto"
	"sync/atomic"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	swgui "github.com/swaggest/swgui/v5emb"
	"google.golang.org/grpc/metadata"

	"github.com/fetchsvc/fetchsvc/api"
	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/fault"
)

// newREST makes the REST door: the gateway over cc, and the pages beside it.
func newREST(cc *inproc, ready *atomic.Bool, metrics http.Handler) (http.Handler, error) {
	gw := runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, newJSONCodec()),
		runtime.WithIncomingHeaderMatcher(incomingHeader),
		runtime.WithOutgoingHeaderMatcher(noHeader),
		runtime.WithOutgoingTrailerMatcher(noHeader),
		runtime.WithErrorHandler(cc.interceptors.gatewayError),
		runtime.WithRoutingErrorHandler(routingError),
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithDisablePathLengthFallback(), // a form's POST would call what is a GET
	)
	if err := fetchsvcv1.RegisterFetchServiceHandlerClient(context.Background(), gw, fetchsvcv1.NewFetchServiceClient(cc)); err != nil {
		return nil, err
	}
	if err := fetchsvcv1.RegisterPolicyServiceHandlerClient(context.Background(), gw, fetchsvcv1.NewPolicyServiceClient(cc)); err != nil {
		return nil, err
	}

	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { plain(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !ready.Load() {
			plain(w, http.StatusServiceUnavailable, "stopping")
			return
		}
		plain(w, http.StatusOK, "ok")
	})
	mux.HandleFunc("GET /openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(api.OpenAPI)
	})
	if metrics != nil {
		mux.Handle("GET /metrics", metrics)
	}
	docs := swgui.New("fetchsvc", "/openapi.json", "/docs/")
	mux.Handle("GET /docs/", docs)
	mux.Handle("GET /docs", http.RedirectHandler("/docs/", http.StatusMovedPermanently))
	streams := &restStreams{client: fetchsvcv1.NewFetchServiceClient(cc), refused: cc.interceptors.refused}
	mux.HandleFunc("POST /v1/stream", streams.stream)
	mux.HandleFunc("POST /v1/fetch:batch", streams.batch)
	mux.Handle("/v1/", calls(gw))
	mux.HandleFunc("/", notFound)
	return mux, nil
}

// knock lets in whoever says who it is; before that nothing of a body is read.
func (i *interceptors) knock(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		given := takeHeader(r.Header)
		r = enterREST(r)
		if r.URL.Path == "/healthz" || r.URL.Path == "/readyz" {
			next.ServeHTTP(w, r)
			return
		}
		if loops(r.Header, i.loopToken) {
			writeProblem(w, i.turnAway(annotate(r), errLoop))
			return
		}
		ctx, err := i.identify(r.Context(), given)
		if err != nil {
			writeProblem(w, i.turnAwayFrom(annotate(r), restRPC(r), err))
			return
		}
		i.seated(w, r.WithContext(ctx), next)
	})
}

// foreign is turnAway for a request that has not entered yet.
func (i *interceptors) foreign(r *http.Request, err error) error {
	return i.turnAway(annotate(enterREST(r)), err)
}

// turnAway leaves the trace of a call that came to no RPC.
func (i *interceptors) turnAway(ctx context.Context, err error) error {
	return i.turnAwayFrom(ctx, restPage, err)
}

func (i *interceptors) turnAwayFrom(ctx context.Context, method string, err error) error {
	ctx, rpc := i.begin(serverContext(ctx), method)
	if c, known := knownCaller(ctx); known {
		rpc.Caller = c.name
	}
	err = i.leave(ctx, method, err)
	end(rpc, err)
	return err
}

// calls prepares a request for the gateway.
func calls(gw http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Grpc-Timeout") // metadata; timeouts.total is the way to say it
		body := clockOf(r)
		r.Body = &requestBody{ReadCloser: http.MaxBytesReader(w, r.Body, maxJSON)}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store")
		gw.ServeHTTP(w, r)
		body.spend(r)
	})
}

// annotate lets a caller's trace context in, as the gateway does for unary RPCs.
func annotate(r *http.Request) context.Context {
	md := metadata.MD{}
	for name, values := range r.Header {
		if key, ok := incomingHeader(name); ok {
			md[key] = values
		}
	}
	return metadata.NewOutgoingContext(r.Context(), md)
}

// incomingHeader lets trace context in, and nothing else: grpc-gateway's own
// matcher hands any Grpc-Metadata-* header to the service (CVE-2026-18972).
func incomingHeader(name string) (string, bool) {
	switch textproto.CanonicalMIMEHeaderKey(name) {
	case "Traceparent":
		return "traceparent", true
	case "Tracestate":
		return "tracestate", true
	case "Baggage":
		return "baggage", true
	}
	return "", false
}

func noHeader(string) (string, bool) { return "", false }

// gatewayError prefers the fault that decoding left over the text of it. No RPC
// began then, so nobody was told.
func (i *interceptors) gatewayError(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
	if body, ok := r.Body.(*requestBody); ok && body.fault != nil {
		method, _ := runtime.RPCMethod(ctx)
		err = i.turnAwayFrom(annotate(r), method, body.fault)
	}
	writeProblem(w, err)
}

func routingError(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
	if code == http.StatusMethodNotAllowed || code == http.StatusNotImplemented {
		methodNotAllowed(w, r)
		return
	}
	notFound(w, r)
}

func plain(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text + "\n"))
}

// recoverREST is the outer net: what panics outside the interceptors is one
// answer and one log line too.
func recoverREST(next http.Handler, log interface{ Error(string, ...any) }) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p) // the way to break a connection off
			}
			log.Error("panic", "path", r.URL.Path, "panic", p)
			writeProblem(w, fault.New(fault.Internal, "an unexpected failure inside fetchsvc; the log has the details"))
		}()
		next.ServeHTTP(w, r)
	})
}
