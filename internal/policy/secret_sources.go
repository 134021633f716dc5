package policy

import (
	"time"

	"github.com/fetchsvc/fetchsvc/internal/target"
)

// SecretSources are where secrets are beside the environment and files.
type SecretSources struct {
	// Keep is how long the last good value is used after its source has failed.
	Keep time.Duration
	// Vaults are servers of HashiCorp Vault or OpenBao.
	Vaults []*Vault
}

// Vault is a server of HashiCorp Vault or OpenBao. One of Token, RoleID and Role is
// set.
type Vault struct {
	Name string
	// ID changes when anything of it changes.
	ID string
	// Address has no path; Upstream is the system upstream that it belongs to.
	Address          target.URL
	Upstream         string
	Namespace, Mount string
	Refresh          time.Duration

	Token SecretRef
	// RoleID and SecretID log in by AppRole, at AuthMount.
	RoleID   string
	SecretID SecretRef
	// Role logs in by Kubernetes, at AuthMount, with the token in TokenFile.
	Role, TokenFile string
	AuthMount       string
}
