package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/fetchsvc/fetchsvc/internal/policy"
)

const checkHelp = `check reads a policy as serve would: all that is wrong with it is told at once, each fault with its
file, line and what to write instead. The secrets that it names must be there; files of certificates
must hold some.

With --against OLD and --requests FILE it also tells which requests an edit changes: allowed or denied,
another upstream, route or credential, another setting. FILE has one request a line, as
{"caller":"billing","method":"GET","url":"https://api.example.com/"} or as
GET https://api.example.com/ billing. Without a caller it is anonymous. Empty lines and lines that
begin with # are skipped. Nothing is sent.

Exit codes:
  0    the policy can be used
  1    it cannot, or something else went wrong; with --strict also: it has warnings
  2    the command line is wrong
  3    a request changes, and --fail-on-change was given`

// exitChanged is what --fail-on-change ends with.
const exitChanged = 3

// checkOptions are the flags of check.
type checkOptions struct {
	against, requests            string
	strict, failOnChange, asJSON bool
}

func newCheck() *cobra.Command {
	o := &checkOptions{}
	cmd := &cobra.Command{
		Use: "check [flags] FILE|DIR", Short: "Check a policy, and what an edit of it changes", Long: checkHelp,
		Example: `  fetchsvc check policy.yaml
  fetchsvc check --strict policy.d
  fetchsvc check --against old.yaml --requests requests.txt new.yaml`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 {
				return fmt.Errorf("check takes one policy, a file or a folder, not %d; `%s --help` has examples", len(args), cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.conflicts(); err != nil {
				return err
			}
			return o.run(cmd.Context(), args[0], cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	f := cmd.Flags()
	f.SortFlags = false
	f.BoolVar(&o.strict, "strict", false, "treat warnings as errors")
	f.StringVar(&o.against, "against", "", "tell what changes from the policy in `OLD`, a file or a folder; needs --requests")
	f.StringVar(&o.requests, "requests", "", "the requests to compare by, one a line of `FILE` or - (stdin); needs --against")
	f.BoolVar(&o.failOnChange, "fail-on-change", false, "exit 3 if a request changes")
	f.BoolVar(&o.asJSON, "json", false, "write one JSON object instead of text")
	return cmd
}

func (o *checkOptions) conflicts() error {
	switch {
	case o.against != "" && o.requests == "":
		return errors.New("--against: needs the requests to compare by: add --requests FILE")
	case o.requests != "" && o.against == "":
		return errors.New("--requests: needs the policy to compare with: add --against OLD")
	case o.failOnChange && o.against == "":
		return errors.New("--fail-on-change: needs --against OLD and --requests FILE")
	}
	return nil
}

// checked is what came out, in the form that --json writes.
type checked struct {
	Policy      string           `json:"policy"`
	OK          bool             `json:"ok"`
	SHA256      string           `json:"sha256,omitempty"`
	Upstreams   int              `json:"upstreams"`
	Routes      int              `json:"routes"`
	Callers     int              `json:"callers"`
	Credentials int              `json:"credentials"`
	Errors      []policy.Problem `json:"errors"`
	Warnings    []string         `json:"warnings"`
	// Requests counts those that were compared.
	Requests int             `json:"requests,omitempty"`
	Changes  []requestChange `json:"changes,omitempty"`
}

func (o *checkOptions) run(ctx context.Context, path string, in io.Reader, out, errs io.Writer) error {
	found := checked{Policy: path, Errors: []policy.Problem{}, Warnings: []string{}}
	err := o.check(ctx, &found, in)
	found.OK = err == nil
	w := out
	if o.asJSON {
		enc := json.NewEncoder(out)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if failed := enc.Encode(found); failed != nil {
			return exit{failed, exitOther}
		}
		w, errs = io.Discard, io.Discard
	}
	if failed := found.write(w, errs); failed != nil {
		return exit{failed, exitOther}
	}
	return err
}

// check fills found; the error chooses the exit code.
func (o *checkOptions) check(ctx context.Context, found *checked, in io.Reader) error {
	snapshot, err := newPolicyFile(found.Policy, slog.New(slog.DiscardHandler)).load()
	var bad *policy.Error
	switch {
	case errors.As(err, &bad):
		found.Errors = bad.Problems
		return exit{fmt.Errorf("%s cannot be used: %s", found.Policy, number(len(bad.Problems), "error")), exitOther}
	case err != nil:
		return exit{err, exitOther}
	}
	found.count(snapshot)
	if o.against != "" {
		if err := o.compare(ctx, found, snapshot, in); err != nil {
			return err
		}
	}
	switch {
	case o.strict && len(found.Warnings) > 0:
		return exit{fmt.Errorf("%s has %s, and --strict was given", found.Policy, number(len(found.Warnings), "warning")), exitOther}
	case o.failOnChange && len(found.Changes) > 0:
		return exit{fmt.Errorf("%s, and --fail-on-change was given", found.changed()), exitChanged}
	}
	return nil
}

func (c *checked) count(s *policy.Snapshot) {
	c.SHA256, c.Callers, c.Upstreams = s.SHA256, len(s.Callers), len(s.Upstreams)
	c.Warnings = append(c.Warnings, s.Warnings...)
	for _, up := range s.Upstreams {
		c.Routes += len(up.Routes)
	}
	c.Credentials = len(s.Credentials())
}

// write is the report for people: the result to out, what is wrong to errs.
func (c *checked) write(out, errs io.Writer) error {
	for _, p := range c.Errors {
		fmt.Fprintln(errs, p)
	}
	for _, w := range c.Warnings {
		fmt.Fprintln(errs, w)
	}
	if c.SHA256 == "" {
		return nil // it could not be read; the error says so
	}
	if _, err := fmt.Fprintln(out, c.summary()); err != nil {
		return err
	}
	for _, change := range c.Changes {
		change.write(out)
	}
	if len(c.Changes) > 0 {
		fmt.Fprintln(out)
	}
	if c.Requests > 0 {
		fmt.Fprintln(out, c.changed())
	}
	return nil
}

// summary counts what the policy has.
func (c *checked) summary() string {
	parts := []string{number(c.Upstreams, "upstream"), number(c.Routes, "route")}
	if c.Callers > 0 {
		parts = append(parts, number(c.Callers, "caller"))
	}
	if c.Credentials > 0 {
		parts = append(parts, number(c.Credentials, "credential"))
	}
	text := c.Policy + ": ok, " + strings.Join(parts, ", ")
	if len(c.Warnings) > 0 {
		text += "; " + number(len(c.Warnings), "warning")
	}
	return text
}

func number(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
