package policy

import (
	"cmp"
	"strings"
	"time"

	policyv1 "github.com/fetchsvc/fetchsvc/gen/fetchsvc/policy/v1"
)

const defaultRoleDuration = time.Hour

func (c *compiler) aws(path string, s *Snapshot, base inherited, cred *Credential, in *policyv1.Aws) *AWS {
	out := &AWS{Region: in.GetRegion(), Service: in.GetService(), UnsignedPayload: in.GetUnsignedPayload()}
	c.awsKeys(path, out, in)
	if role := in.GetAssumeRole(); role != nil {
		out.Role = c.assumeRole(path+".assume_role", s, base, cred, in.GetRegion(), role)
	}
	for _, b := range cred.bind {
		if out.UnsignedPayload && !b.tls {
			c.warn(path+".unsigned_payload", "by http, anyone in between can change a body that is not signed: bind the credential to https origins")
			break
		}
	}
	return out
}

// awsKeys reads the keys; those of the environment where the file names none.
func (c *compiler) awsKeys(path string, out *AWS, in *policyv1.Aws) {
	id, key := in.GetAccessKeyId(), in.GetSecretAccessKey()
	out.SessionToken = c.secretIfAny(path+".session_token.secret", in.GetSessionToken())
	switch {
	case id == nil && key == nil && in.GetSessionToken() == nil:
		out.AccessKeyID = c.reference(path+".access_key_id", "env:AWS_ACCESS_KEY_ID", c.opts.CheckSecret)
		out.Secret = c.reference(path+".secret_access_key", "env:AWS_SECRET_ACCESS_KEY", c.opts.CheckSecret)
		out.SessionToken, out.SessionTokenOptional = "env:AWS_SESSION_TOKEN", true
		return
	case id == nil:
		c.failf(path+".access_key_id", "is missing: the keys belong together, so give all of them, or none for those of the environment")
	case key == nil:
		c.failf(path+".secret_access_key", "is missing: the keys belong together, so give all of them, or none for those of the environment")
	}
	out.AccessKeyID = c.secretIfAny(path+".access_key_id.secret", id)
	out.Secret = c.secretIfAny(path+".secret_access_key.secret", key)
}

func (c *compiler) assumeRole(path string, s *Snapshot, base inherited, cred *Credential, region string, in *policyv1.AssumeRole) *AssumeRole {
	out := &AssumeRole{
		ARN: in.GetRoleArn(), SessionName: cmp.Or(in.GetSessionName(), "fetchsvc"), ExternalID: in.GetExternalId(),
		Duration: override(defaultRoleDuration, duration(in.GetDuration())),
	}
	if len(out.SessionName) < 2 {
		c.failf(path+".session_name", "AWS takes names of 2 to 64 letters: write a longer one")
	}
	c.plainText(path+".external_id", out.ExternalID)
	u, found := c.ownURL(ownURL{
		path: path + ".sts_url", text: cmp.Or(in.GetStsUrl(), stsURL(region)), plain: in.GetUnsafePlainHttp(),
		example: "https://sts.eu-central-1.amazonaws.com/", shows: "the role's keys",
	})
	out.STS = u
	if u.HasQuery {
		c.failf(path+".sts_url", "its parameters are in the request's body: leave out `?` and what follows")
	}
	allow := c.prefixes(path+".unsafe_allow_addresses", in.GetUnsafeAllowAddresses())
	if found {
		cred.Upstream = systemPrefix + "sts/" + cred.Name
		up := systemUpstream(cred.Upstream, base, u, []string{"POST"}, maxToken, allow)
		up.repeats("POST")
		s.system = append(s.system, up)
	}
	return out
}

// stsURL is the endpoint of a region; those of China have a domain of their own.
func stsURL(region string) string {
	url := "https://sts." + region + ".amazonaws.com"
	if strings.HasPrefix(region, "cn-") {
		url += ".cn"
	}
	return url + "/"
}
