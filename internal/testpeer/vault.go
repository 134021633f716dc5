package testpeer

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// Vault stands in for a server of HashiCorp Vault or OpenBao: KV version 2, tokens,
// AppRole, Kubernetes, as far as one who reads secrets meets them. Its answers have
// the form of https://developer.hashicorp.com/vault/api-docs; its clock is time.Now,
// so it works in a synctest bubble when it is called as a handler.
type Vault struct {
	mu      sync.Mutex
	kv      map[string]*vaultSecret // by mount/path
	tokens  map[string]*vaultToken
	logins  map[string]VaultLease // by the request's proof
	denied  map[string]bool       // mount/path
	sealed  bool
	space   string // the namespace that requests must name
	answer  func(*http.Request) *VaultAnswer
	counts  map[string]int // by method and path
	strange []string       // what a client should not have sent
	issued  int
}

// VaultAnswer stands in the place of the proper answer.
type VaultAnswer struct {
	Status int // default: 500
	Header http.Header
	Body   string
	// Wait is waited for first, or the request's end; nil: nothing is.
	Wait <-chan struct{}
	// Pass: the proper answer follows after all.
	Pass bool
}

type vaultSecret struct {
	versions []*vaultVersion // from version 1
}

type vaultVersion struct {
	data      json.RawMessage
	created   time.Time
	deleted   time.Time
	destroyed bool
}

type vaultToken struct {
	VaultLease
	since, until time.Time // until is zero: it has no end
}

// VaultLease is how long a token is good.
type VaultLease struct {
	// TTL is that of the token and of each renewal; zero: it has no end.
	TTL time.Duration
	// Max is how far renewals reach from the beginning; zero: for ever.
	Max       time.Duration
	Renewable bool
}

// NewVault is one without secrets and logins, for use as a handler.
func NewVault() *Vault {
	return &Vault{
		kv: map[string]*vaultSecret{}, tokens: map[string]*vaultToken{}, logins: map[string]VaultLease{},
		denied: map[string]bool{}, counts: map[string]int{},
	}
}

// StartVault serves a NewVault over HTTP.
func StartVault(t testing.TB) (v *Vault, baseURL string) {
	t.Helper()
	v = NewVault()
	return v, HTTP(t, v)
}

// Put writes a new version of the secret at mount/path, as JSON, and gives its
// number.
func (v *Vault) Put(path string, data any) int {
	raw, ok := data.(string)
	if !ok {
		text, err := json.Marshal(data)
		if err != nil {
			panic(err)
		}
		raw = string(text)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.kv[path]
	if s == nil {
		s = &vaultSecret{}
		v.kv[path] = s
	}
	s.versions = append(s.versions, &vaultVersion{data: json.RawMessage(raw), created: time.Now()})
	return len(s.versions)
}

// Delete deletes the newest version of the secret at mount/path, for good if
// destroyed.
func (v *Vault) Delete(path string, destroyed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	s := v.kv[path]
	newest := s.versions[len(s.versions)-1]
	if destroyed {
		newest.destroyed = true
		return
	}
	newest.deleted = time.Now()
}

// Deny forbids all to read mount/path, or lets them again.
func (v *Vault) Deny(path string, denied bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.denied[path] = denied
}

// Token issues a token.
func (v *Vault) Token(lease VaultLease) string {
	v.mu.Lock()
	defer v.mu.Unlock()
	token, _ := v.issue(lease)
	return token
}

// Revoke ends all tokens there are.
func (v *Vault) Revoke() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.tokens)
}

// AppRole lets a role log in at auth/mount; secretID is taken back by a second call
// without lease.
func (v *Vault) AppRole(mount, roleID, secretID string, lease *VaultLease) {
	v.login("auth/"+mount+"/login role_id="+roleID+" secret_id="+secretID, lease)
}

// Kubernetes lets whoever has jwt log in at auth/mount as role, as AppRole does.
func (v *Vault) Kubernetes(mount, role, jwt string, lease *VaultLease) {
	v.login("auth/"+mount+"/login role="+role+" jwt="+jwt, lease)
}

func (v *Vault) login(proof string, lease *VaultLease) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if lease == nil {
		delete(v.logins, proof)
		return
	}
	v.logins[proof] = *lease
}

// Seal seals it, or unseals it.
func (v *Vault) Seal(sealed bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sealed = sealed
}

// Namespace is what requests must name from now on.
func (v *Vault) Namespace(name string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.space = name
}

// Answer asks instead for each answer from now on; where it gives nil, or nil is
// given here, the proper answer is given.
func (v *Vault) Answer(instead func(*http.Request) *VaultAnswer) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.answer = instead
}

// Count is how many requests there were: "GET /v1/secret/data/a".
func (v *Vault) Count(request string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.counts[request]
}

// Total is how many requests there were in all.
func (v *Vault) Total() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, count := range v.counts {
		n += count
	}
	return n
}

// Strange is what a client should not have sent.
func (v *Vault) Strange() []string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.strange
}

func (v *Vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	v.counts[r.Method+" "+r.URL.EscapedPath()]++
	instead := v.answer
	v.mu.Unlock()
	if instead != nil {
		if a := instead(r); a != nil {
			if a.Wait != nil {
				select {
				case <-a.Wait:
				case <-r.Context().Done():
				}
			}
			if !a.Pass {
				for name, values := range a.Header {
					w.Header()[name] = values
				}
				w.WriteHeader(cmp.Or(a.Status, http.StatusInternalServerError))
				_, _ = io.WriteString(w, a.Body)
				return
			}
		}
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	status, answer := v.serve(r, body)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if answer != nil {
		_ = json.NewEncoder(w).Encode(answer)
	}
}

// fields is a JSON object.
type fields map[string]any

func vaultErrors(errors ...string) fields { return fields{"errors": append([]string{}, errors...)} }

func (v *Vault) serve(r *http.Request, body []byte) (int, fields) {
	if r.Header.Get("X-Vault-Request") != "true" {
		v.strange = append(v.strange, "no X-Vault-Request: "+r.URL.Path)
	}
	path, ok := strings.CutPrefix(r.URL.Path, "/v1/")
	switch {
	case !ok:
		return http.StatusNotFound, vaultErrors()
	case v.sealed:
		return http.StatusServiceUnavailable, vaultErrors("Vault is sealed")
	case strings.Trim(r.Header.Get("X-Vault-Namespace"), "/") != v.space:
		return http.StatusForbidden, vaultErrors("permission denied")
	case strings.HasSuffix(path, "/login") && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		return v.serveLogin(r, path, body)
	}
	token := v.tokens[r.Header.Get("X-Vault-Token")]
	if token == nil || !token.until.IsZero() && !time.Now().Before(token.until) {
		return http.StatusForbidden, vaultErrors("2 errors occurred:\n\t* permission denied\n\t* invalid token\n\n")
	}
	switch {
	case path == "auth/token/lookup-self" && r.Method == http.MethodGet:
		return http.StatusOK, fields{"data": fields{"ttl": token.left(), "renewable": token.Renewable, "id": r.Header.Get("X-Vault-Token"), "num_uses": 0, "type": "service"}}
	case path == "auth/token/renew-self" && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		if !token.Renewable {
			return http.StatusBadRequest, vaultErrors("lease is not renewable")
		}
		token.extend(time.Now())
		return http.StatusOK, fields{"auth": token.auth(r.Header.Get("X-Vault-Token"))}
	case r.Method == http.MethodGet:
		return v.serveSecret(path)
	}
	return http.StatusMethodNotAllowed, vaultErrors("unsupported operation")
}

func (v *Vault) serveLogin(r *http.Request, path string, body []byte) (int, fields) {
	var proof struct {
		RoleID   string `json:"role_id"`
		SecretID string `json:"secret_id"`
		Role     string `json:"role"`
		JWT      string `json:"jwt"`
	}
	if err := json.Unmarshal(body, &proof); err != nil {
		return http.StatusBadRequest, vaultErrors("error parsing JSON")
	}
	if r.Header.Get("X-Vault-Token") != "" {
		v.strange = append(v.strange, "a token with a login: "+r.URL.Path)
	}
	key := path + " role_id=" + proof.RoleID + " secret_id=" + proof.SecretID
	status, message := http.StatusBadRequest, "invalid role or secret ID"
	if proof.Role != "" {
		key = path + " role=" + proof.Role + " jwt=" + proof.JWT
		status, message = http.StatusForbidden, "permission denied"
	}
	lease, ok := v.logins[key]
	if !ok {
		// As some of Vault's messages do, it repeats what it was given.
		return status, vaultErrors(message, fmt.Sprintf("%q", proof.SecretID+proof.JWT))
	}
	text, token := v.issue(lease)
	return http.StatusOK, fields{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": nil, "auth": token.auth(text)}
}

func (v *Vault) serveSecret(path string) (int, fields) {
	mount, name, ok := strings.Cut(path, "/data/")
	if !ok {
		return http.StatusNotFound, vaultErrors()
	}
	at := mount + "/" + name
	if v.denied[at] {
		return http.StatusForbidden, vaultErrors("1 error occurred:\n\t* permission denied\n\n")
	}
	s := v.kv[at]
	if s == nil {
		return http.StatusNotFound, vaultErrors()
	}
	newest := s.versions[len(s.versions)-1]
	metadata := fields{
		"version": len(s.versions), "created_time": newest.created.UTC().Format(time.RFC3339Nano),
		"deletion_time": "", "destroyed": newest.destroyed, "custom_metadata": nil,
	}
	answer := fields{"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "auth": nil,
		"data": fields{"data": nil, "metadata": metadata}}
	if !newest.deleted.IsZero() {
		metadata["deletion_time"] = newest.deleted.UTC().Format(time.RFC3339Nano)
	}
	if newest.destroyed || !newest.deleted.IsZero() {
		return http.StatusNotFound, answer
	}
	answer["data"] = fields{"data": newest.data, "metadata": metadata}
	return http.StatusOK, answer
}

func (v *Vault) issue(lease VaultLease) (string, *vaultToken) {
	v.issued++
	text := fmt.Sprintf("hvs.testpeer-%d", v.issued)
	token := &vaultToken{VaultLease: lease, since: time.Now()}
	token.extend(token.since)
	v.tokens[text] = token
	return text, token
}

func (t *vaultToken) extend(now time.Time) {
	if t.TTL == 0 {
		return
	}
	t.until = now.Add(t.TTL)
	if end := t.since.Add(t.Max); t.Max > 0 && end.Before(t.until) {
		t.until = end
	}
}

// left is in whole seconds, as the API has it.
func (t *vaultToken) left() int {
	if t.until.IsZero() {
		return 0
	}
	return int(time.Until(t.until).Round(time.Second) / time.Second)
}

func (t *vaultToken) auth(text string) fields {
	return fields{"client_token": text, "accessor": "a", "policies": []string{"default"}, "lease_duration": t.left(), "renewable": t.Renewable, "token_type": "service"}
}
