package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"

	fetchsvcv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/v1"
	"github.com/fetchsvc/fetchsvc/internal/egress"
	"github.com/fetchsvc/fetchsvc/internal/fetch"
	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/server"
)

const explainHelp = `explain tells what would become of a call, and why: which rules were looked at, which settings would
hold and where each comes from, and when attempts would be made. It decides by the very code that
serves, and sends nothing; only --resolve asks the resolver.

With --policy it reads a policy itself and needs no service: anyone who holds the file may ask for any
caller, and secrets are not looked for. Without, it asks the service, which tells callers about
themselves, and the policy's operators about everyone.

Exit codes:
  0    the call would be made
  1    it would not, or something else went wrong
  2    the command line is wrong
  3    the question itself is not valid, such as a caller's name of 300 bytes
  4    the service does not tell this caller, or does not know who it is
  5    fetchsvc itself cannot be reached
  28   fetchsvc did not answer within 30s`

// explainPatience is how long an answer may take, the resolver's included.
const explainPatience = 30 * time.Second

// explainOptions are the flags of explain.
type explainOptions struct {
	clientOptions
	policy, caller     string
	headers            []string
	resolve            bool
	printJSON, verbose bool
}

func newExplain() *cobra.Command {
	o := &explainOptions{}
	cmd := &cobra.Command{
		Use: "explain [flags] METHOD URL", Short: "Tell what policy makes of a call, without making it", Long: explainHelp,
		Example: `  fetchsvc explain GET https://api.example.com/v1/items
  fetchsvc explain --policy policy.yaml --caller billing POST https://api.example.com/v1/items
  fetchsvc explain -v --resolve GET https://api.example.com/`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 2 {
				return fmt.Errorf("explain takes METHOD and URL, such as GET https://example.com/; `%s --help` has examples", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.policy != "" && cmd.Flags().Changed("server") {
				return errors.New("--policy and --server: with a policy no service is asked; give one of them")
			}
			return o.run(cmd.Context(), args[0], args[1], cmd.OutOrStdout())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.StringVar(&o.policy, "policy", "", "judge by the policy in this `FILE` or folder, without a service")
	f.StringVar(&o.caller, "caller", "", "explain it for the caller of this `NAME` (default who asks; with --policy anonymous)")
	f.StringArrayVarP(&o.headers, "header", "H", nil, "add the header `\"NAME: VALUE\"` to the call (repeatable)")
	f.BoolVar(&o.resolve, "resolve", false, "also resolve the host, and judge its addresses")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the settings too that nobody set")
	f.BoolVar(&o.printJSON, "json", false, "write the whole ExplainResponse as JSON")
	o.flags(f)
	return cmd
}

func (o *explainOptions) run(ctx context.Context, method, url string, out io.Writer) error {
	call := fetchOptions{method: method, headers: o.headers}
	req, err := call.request(url, &inputs{ctx: ctx, stdin: strings.NewReader("")})
	if err != nil {
		return err
	}
	res, err := o.ask(ctx, &fetchsvcv1.ExplainRequest{Request: req, Caller: o.caller, Resolve: o.resolve})
	if err != nil {
		return err
	}
	text := []byte(explanationText(res, req, o.verbose))
	if o.printJSON {
		if text, err = indentedJSON(res); err != nil {
			return exit{err, exitOther}
		}
	}
	if _, err := out.Write(text); err != nil {
		return exit{fmt.Errorf("writing the answer: %w", err), exitOther}
	}
	if !res.GetAllowed() {
		return exit{fmt.Errorf("the call would not be made: %s", res.GetDeniedKind()), exitOther}
	}
	return nil
}

// ask explains by the policy at hand, or has the service do it.
func (o *explainOptions) ask(ctx context.Context, in *fetchsvcv1.ExplainRequest) (*fetchsvcv1.ExplainResponse, error) {
	asking, cancel := context.WithTimeout(ctx, explainPatience)
	defer cancel()
	if o.policy != "" {
		return o.askPolicy(asking, in)
	}
	conn, err := o.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	res, err := fetchsvcv1.NewPolicyServiceClient(conn).Explain(asking, in)
	switch {
	case err == nil:
		return res, nil
	case ctx.Err() != nil:
		return nil, interrupted()
	default:
		late := fmt.Sprintf("no answer from fetchsvc at %s within %s", o.server, explainPatience)
		return nil, teller{server: o.server, late: late}.callError(err)
	}
}

func (o *explainOptions) askPolicy(ctx context.Context, in *fetchsvcv1.ExplainRequest) (*fetchsvcv1.ExplainResponse, error) {
	snapshot, err := policy.Load(o.policy, policy.Options{})
	if err != nil {
		return nil, exit{err, exitOther}
	}
	x, err := newExplainer(snapshot)
	if err != nil {
		return nil, exit{err, exitOther}
	}
	defer x.close()
	res, err := x.Explain(ctx, in)
	switch {
	case errors.Is(err, context.Canceled):
		return nil, interrupted()
	case err != nil:
		return nil, exit{err, exitInvalid}
	}
	return res, nil
}

// explainer explains by one policy, in this process.
type explainer struct {
	*server.Explainer
	pools *egress.Pools
}

func newExplainer(snapshot *policy.Snapshot) (*explainer, error) {
	pools := egress.NewPools(egress.Config{})
	engine := fetch.New(fetch.Config{Pools: pools, UserAgent: "fetchsvc/" + version})
	engine.Use(snapshot)
	x, err := server.NewExplainer(engine)
	if err != nil {
		pools.Close()
		return nil, err
	}
	return &explainer{x, pools}, nil
}

func (x *explainer) close() { x.pools.Close() }

// indentedJSON is a message as the API's JSON.
func indentedJSON(res *fetchsvcv1.ExplainResponse) ([]byte, error) {
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitUnpopulated: true}.Marshal(res)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer // protojson's own indentation differs from build to build
	err = json.Indent(&out, text, "", "  ")
	out.WriteByte('\n')
	return out.Bytes(), err
}
