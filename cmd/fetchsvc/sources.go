package main

import (
	"net/http"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/secret"
)

// secretSources are those of s as the store takes them. Vaults are reached by calls
// of our own to their system upstreams.
func secretSources(s *policy.Snapshot, transport func(upstream string) http.RoundTripper) secret.Sources {
	out := secret.Sources{Keep: s.Secrets.Keep}
	for _, v := range s.Secrets.Vaults {
		out.Vaults = append(out.Vaults, secret.Vault{
			Name: v.Name, ID: v.ID, Address: v.Address.Scheme + "://" + v.Address.HostPort(), Transport: transport(v.Upstream),
			Namespace: v.Namespace, Mount: v.Mount, Refresh: v.Refresh,
			Token: string(v.Token), RoleID: v.RoleID, SecretID: string(v.SecretID),
			Role: v.Role, TokenFile: v.TokenFile, AuthMount: v.AuthMount,
		})
	}
	return out
}
