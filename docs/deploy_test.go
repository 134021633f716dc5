package docs_test

import (
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fetchsvc/fetchsvc/internal/policy"
	"github.com/fetchsvc/fetchsvc/internal/target"
)

// TestManifests: every file is in the kustomization, and they belong together.
func TestManifests(t *testing.T) {
	k := only[struct {
		APIVersion string `yaml:"apiVersion"`
		Kind       string
		Resources  []string
		Images     []struct {
			Name    string
			NewName string `yaml:"newName"`
			NewTag  string `yaml:"newTag"`
		}
	}](t, "kustomization.yaml")
	files, err := filepath.Glob(filepath.Join(kubernetes, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for i, f := range files {
		files[i] = filepath.Base(f)
	}
	listed := append(slices.Clone(k.Resources), "kustomization.yaml")
	slices.Sort(listed)
	if !slices.Equal(files, listed) {
		t.Errorf("the folder has %q, and the kustomization lists %q", files, listed)
	}
	d := only[deployment](t, "deployment.yaml")
	labels, pod := d.Spec.Template.Metadata.Labels, d.Spec.Template.Spec
	c := pod.Containers[0]
	if !selects(d.Spec.Selector.MatchLabels, labels) || !selects(pod.TopologySpreadConstraints[0].LabelSelector.MatchLabels, labels) {
		t.Errorf("the Deployment does not select its own pods %v", labels)
	}
	for _, s := range decode[service](t, "service.yaml") {
		if !selects(s.Spec.Selector, labels) {
			t.Errorf("Service %s selects %v, and the pods are %v", s.Metadata.Name, s.Spec.Selector, labels)
		}
		for _, p := range s.Spec.Ports {
			if !slices.Contains(c.Ports, containerPort{p.TargetPort, p.Port}) {
				t.Errorf("Service %s leads to port %s (%d), and the container has %v", s.Metadata.Name, p.TargetPort, p.Port, c.Ports)
			}
		}
	}
	pdb := only[struct {
		object `yaml:",inline"`
		Spec   struct {
			MaxUnavailable int `yaml:"maxUnavailable"`
			Selector       selector
		}
	}](t, "poddisruptionbudget.yaml")
	if !selects(pdb.Spec.Selector.MatchLabels, labels) || pdb.Spec.MaxUnavailable >= d.Spec.Replicas {
		t.Errorf("the disruption budget %+v keeps none of %d pods %v", pdb.Spec, d.Spec.Replicas, labels)
	}
	account := only[struct {
		object                       `yaml:",inline"`
		AutomountServiceAccountToken *bool `yaml:"automountServiceAccountToken"`
	}](t, "serviceaccount.yaml")
	if off := account.AutomountServiceAccountToken; account.Metadata.Name != pod.ServiceAccountName || off == nil || *off {
		t.Errorf("the ServiceAccount %+v is not the pod's %q, or gives it a token", account, pod.ServiceAccountName)
	}
	if m := only[configMap](t, "configmap.yaml"); m.Metadata.Name != pod.Volumes[0].ConfigMap.Name {
		t.Errorf("the pod mounts ConfigMap %q, and there is %q", pod.Volumes[0].ConfigMap.Name, m.Metadata.Name)
	}
}

// selects: pods with these labels are among those of a selector.
func selects(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return len(selector) > 0
}

// TestDeploymentIsHardened: what docs/security.md promises of the pod.
func TestDeploymentIsHardened(t *testing.T) {
	pod := only[deployment](t, "deployment.yaml").Spec.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("the pod has %d containers, want one", len(pod.Containers))
	}
	c, ctx := pod.Containers[0], pod.SecurityContext
	for what, holds := range map[string]bool{
		"it runs as 65532, not root":     ctx.RunAsNonRoot && ctx.RunAsUser == 65532 && ctx.RunAsGroup == 65532,
		"seccomp is on":                  ctx.SeccompProfile.Type == "RuntimeDefault",
		"it gains no rights":             isFalse(c.SecurityContext.AllowPrivilegeEscalation),
		"its file system is read-only":   c.SecurityContext.ReadOnlyRootFilesystem,
		"it has no capabilities":         slices.Equal(c.SecurityContext.Capabilities.Drop, []string{"ALL"}),
		"it has no token of the cluster": isFalse(pod.AutomountServiceAccountToken),
		"it has no links of Services":    isFalse(pod.EnableServiceLinks),
		"its memory is bounded":          c.Resources.Limits["memory"] != "" && c.Resources.Requests["memory"] != "",
		"probes ask by TLS":              c.ReadinessProbe.HTTPGet.Scheme == "HTTPS" && c.LivenessProbe.HTTPGet.Scheme == "HTTPS",
	} {
		if !holds {
			t.Errorf("this does not hold: %s", what)
		}
	}
	for _, m := range c.VolumeMounts {
		if !m.ReadOnly {
			t.Errorf("%s can be written to", m.MountPath)
		}
	}
	for _, v := range pod.Volumes {
		if v.Secret.SecretName != "" && v.Secret.DefaultMode&0o007 != 0 {
			t.Errorf("volume %s is readable by everyone: %o", v.Name, v.Secret.DefaultMode)
		}
	}
	for _, e := range c.Env {
		if e.Name != "GOGC" && e.Name != "GOMEMLIMIT" {
			t.Errorf("the environment has %s: what is secret is mounted as a file", e.Name)
		}
	}
	if text := strings.Join(c.Args, " "); strings.Contains(text, "unsafe") {
		t.Errorf("the arguments give up a guard: %s", text)
	}
	stop := time.Duration(pod.TerminationGracePeriodSeconds) * time.Second
	if least := time.Duration(c.Lifecycle.PreStop.Sleep.Seconds)*time.Second + graceOf(t, c.Args) + flush; stop < least {
		t.Errorf("the pod is killed after %v, and needs up to %v to stop", stop, least)
	}
}

func isFalse(b *bool) bool { return b != nil && !*b }

// flush is how long the last spans may take, as cmd/fetchsvc/serve.go has it.
const flush = 3 * time.Second

// graceOf is the value of --grace.
func graceOf(t *testing.T, args []string) time.Duration {
	t.Helper()
	for _, a := range args {
		if text, ok := strings.CutPrefix(a, "--grace="); ok {
			d, err := time.ParseDuration(text)
			if err != nil {
				t.Fatal(err)
			}
			return d
		}
	}
	t.Fatalf("there is no --grace among %q", args)
	return 0
}

// TestNetworkPolicyKeepsInside: nothing of a cluster or a cloud can be reached but
// its resolver, and callers alone come in.
func TestNetworkPolicyKeepsInside(t *testing.T) {
	n := only[networkPolicy](t, "networkpolicy.yaml")
	d := only[deployment](t, "deployment.yaml")
	if !selects(n.Spec.PodSelector.MatchLabels, d.Spec.Template.Metadata.Labels) || !slices.Equal(n.Spec.PolicyTypes, []string{"Ingress", "Egress"}) {
		t.Errorf("it is about %v of %v, want both ways of the Deployment's pods", n.Spec.PolicyTypes, n.Spec.PodSelector)
	}
	for _, in := range n.Spec.Ingress {
		for _, p := range in.From {
			if p.IPBlock != nil || p.PodSelector == nil || len(p.PodSelector.MatchLabels) == 0 {
				t.Errorf("%+v lets in more than labelled callers", p)
			}
		}
		if len(in.From) == 0 || len(in.Ports) != len(d.Spec.Template.Spec.Containers[0].Ports) {
			t.Errorf("%+v lets in everyone, or to other ports than the doors", in)
		}
	}
	reaches := func(addr string) (yes bool) {
		a := netip.MustParseAddr(addr)
		for _, out := range n.Spec.Egress {
			if len(out.To) == 0 || len(out.Ports) == 0 {
				t.Errorf("%+v opens everything", out)
			}
			for _, p := range out.To {
				if p.IPBlock == nil || !netip.MustParsePrefix(p.IPBlock.CIDR).Contains(a) {
					continue
				}
				in := func(s string) bool { return netip.MustParsePrefix(s).Contains(a) }
				yes = yes || !slices.ContainsFunc(p.IPBlock.Except, in)
			}
		}
		return yes
	}
	for _, addr := range []string{
		"169.254.169.254", "169.254.170.2", "168.63.129.16", "100.100.100.200", "192.0.0.192", "127.0.0.1", "10.0.0.1", "10.96.0.1", "10.255.255.255",
		"172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1", "0.0.0.0", "198.18.0.1", "224.0.0.1", "255.255.255.255",
		"::1", "fd00:ec2::254", "fd20:ce::254", "fc00::1", "fe80::1", "ff02::1", "64:ff9b::a9fe:a9fe", "::ffff:169.254.169.254", "2002:a9fe:a9fe::1", "2001::1",
	} {
		if reaches(addr) {
			t.Errorf("%s can be reached", addr)
		}
	}
	for _, addr := range []string{"1.1.1.1", "140.82.112.3", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"} {
		if !reaches(addr) {
			t.Errorf("%s cannot be reached", addr)
		}
	}
}

// TestConfigMapPolicy: the example policy can be used where it is mounted, opens no
// guard, and lets in who has proved who it is.
func TestConfigMapPolicy(t *testing.T) {
	pod := only[deployment](t, "deployment.yaml").Spec.Template.Spec
	mounted := func(path string) bool {
		for _, m := range pod.Containers[0].VolumeMounts {
			if strings.HasPrefix(path, m.MountPath+"/") {
				return true
			}
		}
		return false
	}
	secrets := 0
	check := func(ref string) error {
		secrets++
		if path, ok := strings.CutPrefix(ref, "file:"); !ok || !mounted(path) {
			t.Errorf("secret %s is in no mounted file", ref)
		}
		return nil
	}
	for name, text := range only[configMap](t, "configmap.yaml").Data {
		s, err := policy.Parse("/etc/fetchsvc/policy/"+name, []byte(text), policy.Options{CheckSecret: check, CheckPEM: check})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(s.Warnings) > 0 || strings.Contains(text, "unsafe_") {
			t.Errorf("%s has warnings %q, or opens a guard", name, s.Warnings)
		}
		if len(s.Proofs.Callers) == 0 || s.Proofs.AllowAnonymous {
			t.Errorf("%s names no callers, or lets in strangers: `serve` would not open its doors to others", name)
		}
		repo, err := target.Parse("https://api.github.com/repos/a/b")
		if err != nil {
			t.Fatal(err)
		}
		for q, want := range map[[2]string]bool{{"billing", "GET"}: true, {"reports", "GET"}: true, {"billing", "POST"}: false, {policy.Anonymous, "GET"}: false} {
			if _, err := s.Decide(policy.Query{Caller: q[0], Method: q[1], URL: repo}); (err == nil) != want {
				t.Errorf("%s of %s is decided %v, want it allowed: %v", q[1], q[0], err, want)
			}
		}
	}
	if secrets == 0 {
		t.Error("the policy names no secrets: the test shows nothing")
	}
}
