package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

const (
	defaultKeep         = 5 * time.Minute
	defaultVaultRefresh = time.Minute
	kubernetesTokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"
)

// vaultNames must be known before the first reference is read.
func (c *compiler) vaultNames(file *policyv1.Policy) {
	for _, in := range file.GetSecrets().GetVaults() {
		if name := in.GetName(); name != "" && name != "env" && name != "file" && !slices.Contains(c.vaults, name) {
			c.vaults = append(c.vaults, name)
		}
	}
}

// secretSources reads `secrets`.
func (c *compiler) secretSources(file *policyv1.Policy, s *Snapshot, base inherited) {
	s.Secrets.Keep = override(defaultKeep, duration(file.GetSecrets().GetKeep()))
	seen := map[string]bool{}
	for i, in := range file.GetSecrets().GetVaults() {
		path := fmt.Sprintf("secrets.vaults[%d]", i)
		switch name := in.GetName(); {
		case name == "env" || name == "file":
			c.failf(path+".name", "%q is a source of its own: choose another name, such as vault", name)
		case seen[name]:
			c.failf(path+".name", "vault %q is defined twice", name)
		}
		seen[in.GetName()] = true
		s.Secrets.Vaults = append(s.Secrets.Vaults, c.vault(path, s, base, in))
	}
	for _, ref := range []struct {
		path string
		ref  SecretRef
	}{{"defaults.proxy.password.secret", proxyPassword(base.connection.Proxy)}, {"defaults.tls.client_certificate.key.secret", base.connection.TLS.Key}} {
		if c.inVault(ref.ref) {
			c.failf(ref.path, "vaults are reached as `defaults` say, so that secret cannot be in one: write env:NAME or file:PATH")
		}
	}
}

func proxyPassword(p *Proxy) SecretRef {
	if p == nil {
		return ""
	}
	return p.Password
}

func (c *compiler) vault(path string, s *Snapshot, base inherited, in *policyv1.Vault) *Vault {
	out := &Vault{
		Name: in.GetName(), ID: in.GetName() + "-" + c.digest(in), Namespace: in.GetNamespace(), Mount: cmp.Or(in.GetMount(), "secret"),
		Refresh: override(defaultVaultRefresh, duration(in.GetRefresh())),
	}
	c.vaultPath(path+".namespace", out.Namespace)
	c.vaultPath(path+".mount", out.Mount)
	c.vaultAuth(path, out, in)
	allow, ca := c.prefixes(path+".unsafe_allow_addresses", in.GetUnsafeAllowAddresses()), c.bundle(path+".ca_file", in.GetCaFile())
	u, found := c.ownURL(ownURL{
		path: path + ".address", text: in.GetAddress(), plain: in.GetUnsafePlainHttp(),
		example: "https://vault.example.com:8200", shows: "every secret",
	})
	if !found {
		return out
	}
	if u.Path != "/" || u.HasQuery {
		c.failf(path+".address", "it is where the server is, without a path: write %s://%s", u.Scheme, u.HostPort())
	}
	if ca != "" && u.Scheme == "http" {
		c.failf(path+".ca_file", "only https has a certificate to judge: leave it out")
	}
	out.Address, out.Upstream = u, systemPrefix+"vault/"+out.Name
	up := systemUpstream(out.Upstream, base, u, []string{"GET", "POST", "PUT"}, maxVault, allow)
	up.repeats("GET", "POST", "PUT")
	up.TLS.CAFile = cmp.Or(ca, up.TLS.CAFile)
	s.system = append(s.system, up)
	return out
}

// vaultAuth reads how we prove who we are to the vault, by what is not in one.
func (c *compiler) vaultAuth(path string, out *Vault, in *policyv1.Vault) {
	switch auth := in.GetAuth().(type) {
	case *policyv1.Vault_Token:
		out.Token = c.localSecret(path+".token.secret", auth.Token)
	case *policyv1.Vault_AppRole:
		out.RoleID, out.AuthMount = auth.AppRole.GetRoleId(), cmp.Or(auth.AppRole.GetMount(), "approle")
		out.SecretID = c.localSecret(path+".app_role.secret_id.secret", auth.AppRole.GetSecretId())
		c.plainText(path+".app_role.role_id", out.RoleID)
		c.vaultPath(path+".app_role.mount", out.AuthMount)
	case *policyv1.Vault_Kubernetes:
		at := path + ".kubernetes"
		out.Role, out.AuthMount = auth.Kubernetes.GetRole(), cmp.Or(auth.Kubernetes.GetMount(), "kubernetes")
		ref := c.reference(at+".token_file", "file:"+cmp.Or(auth.Kubernetes.GetTokenFile(), kubernetesTokenFile), c.opts.CheckSecret)
		out.TokenFile = strings.TrimPrefix(string(ref), "file:")
		c.plainText(at+".role", out.Role)
		c.vaultPath(at+".mount", out.AuthMount)
	}
}

func (c *compiler) vaultPath(path, text string) {
	if err := checkVaultPath(text); text != "" && err != nil {
		c.fail(path, err)
	}
}

// unusedVaults warns of those that no reference names.
func (c *compiler) unusedVaults(file *policyv1.Policy) {
	for i, in := range file.GetSecrets().GetVaults() {
		if !c.usedVaults[in.GetName()] {
			c.warn(fmt.Sprintf("secrets.vaults[%d].name", i), "no secret of the policy is in vault %q", in.GetName())
		}
	}
}
