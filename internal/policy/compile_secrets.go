package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/http/httpguts"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

// checkVaultPath says why text is no path within a vault's URLs.
func checkVaultPath(text string) error {
	if !httpguts.ValidHeaderFieldValue(text) || strings.ContainsAny(text, "?#%\\ \t") {
		return errors.New("it has a character that no path in a vault has: a control character, a blank, or one of ? # % \\")
	}
	for segment := range strings.SplitSeq(text, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return errors.New("its segments are not empty, . or ..: write team/service without a slash at its ends")
		}
	}
	return nil
}

// secret makes a reference absolute and checks that it can be read.
func (c *compiler) secret(path string, in *policyv1.Secret, check func(ref string) error) SecretRef {
	return c.reference(path, in.GetSecret(), check)
}

// secretIfAny is secret for what may be left out.
func (c *compiler) secretIfAny(path string, in *policyv1.Secret) SecretRef {
	if in == nil {
		return ""
	}
	return c.secret(path, in, c.opts.CheckSecret)
}

// localSecret is secret for what cannot be in a vault, because it opens one.
func (c *compiler) localSecret(path string, in *policyv1.Secret) SecretRef {
	ref := c.secret(path, in, c.opts.CheckSecret)
	if c.inVault(ref) {
		c.failf(path, "what opens a vault cannot be in one: write env:NAME or file:PATH")
	}
	return ref
}

// reference reads `env:NAME`, `file:PATH` or `VAULT:PATH#KEY`. What is in a vault
// is read when it is first needed.
func (c *compiler) reference(path, text string, check func(ref string) error) SecretRef {
	source, name, found := strings.Cut(text, ":")
	switch {
	case found && slices.Contains(c.vaults, source):
		c.usedVaults[source] = true
		if err := checkVaultName(source, name); err != nil {
			c.fail(path, err)
		}
		return SecretRef(text)
	case !found || source != "env" && source != "file":
		c.failf(path, "a secret is named, not written: %s%s%s", c.sourceWords(), didYouMean(source, c.vaults), c.vaultsHint(name))
		return ""
	case name == "":
		c.failf(path, "there is no name behind %s: write %s", source, c.sourceWords())
		return ""
	case source == "file":
		name = c.file(name)
	}
	ref := SecretRef(source + ":" + name)
	if check != nil {
		if err := check(string(ref)); err != nil {
			c.fail(path, err)
		}
	}
	return ref
}

// vaultsHint is for a name that is written as one of a vault is, where none is listed.
func (c *compiler) vaultsHint(name string) string {
	if len(c.vaults) > 0 || !strings.Contains(name, "#") {
		return ""
	}
	return "; for one in a vault, list the vault under `secrets.vaults`"
}

// inVault says that ref is of a vault.
func (c *compiler) inVault(ref SecretRef) bool {
	source, _, _ := strings.Cut(string(ref), ":")
	return slices.Contains(c.vaults, source)
}

// checkVaultName says why name is no PATH#KEY.
func checkVaultName(vault, name string) error {
	path, key, found := strings.Cut(name, "#")
	switch {
	case !found || key == "" || strings.Contains(key, "#"):
		return fmt.Errorf("a secret of a vault has a path and a key: write %s:PATH#KEY", vault)
	case strings.ContainsFunc(key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return errors.New("its key has a control character")
	}
	return checkVaultPath(path)
}

// sourceWords are the ways to name a secret.
func (c *compiler) sourceWords() string {
	words := []string{"env:NAME", "file:PATH"}
	const most = 3
	for i, name := range c.vaults {
		if i == most {
			words = append(words, "another vault's PATH#KEY")
			break
		}
		words = append(words, name+":PATH#KEY")
	}
	return orWords(words)
}
