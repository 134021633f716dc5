package egress

import "net/netip"

// specialRange is a block of addresses that is not the public Internet.
type specialRange struct {
	prefix netip.Prefix
	name   string
}

// specialRanges are the IANA IPv4 and IPv6 Special-Purpose Address Registries
// (RFC 6890), multicast (RFC 5771, RFC 4291), and all of IPv6 that is no global
// unicast (RFC 4291 section 2.4, the IANA IPv6 Address Space). Deprecated blocks
// stay in: routers still know them. The first that matches gives the name.
var specialRanges = func() []specialRange {
	rows := []struct{ cidr, name string }{
		{"0.0.0.0/8", "this network (RFC 791)"},
		{"10.0.0.0/8", "private (RFC 1918)"},
		{"100.64.0.0/10", "shared, carrier NAT (RFC 6598)"},
		{"127.0.0.0/8", "loopback (RFC 1122)"},
		{"169.254.0.0/16", "link-local (RFC 3927)"},
		{"172.16.0.0/12", "private (RFC 1918)"},
		{"192.0.0.0/24", "IETF protocol assignments (RFC 6890)"},
		{"192.0.2.0/24", "documentation (RFC 5737)"},
		{"192.31.196.0/24", "AS112 (RFC 7535)"},
		{"192.52.193.0/24", "AMT (RFC 7450)"},
		{"192.88.99.0/24", "6to4 relay anycast (RFC 7526)"},
		{"192.168.0.0/16", "private (RFC 1918)"},
		{"192.175.48.0/24", "AS112 (RFC 7534)"},
		{"198.18.0.0/15", "benchmarking (RFC 2544)"},
		{"198.51.100.0/24", "documentation (RFC 5737)"},
		{"203.0.113.0/24", "documentation (RFC 5737)"},
		{"224.0.0.0/4", "multicast (RFC 5771)"},
		{"240.0.0.0/4", "reserved and broadcast (RFC 1112)"},
		{"::/128", "unspecified (RFC 4291)"},
		{"::1/128", "loopback (RFC 4291)"},
		{"64:ff9b:1::/48", "local NAT64 (RFC 8215)"},
		{"100::/64", "discard-only (RFC 6666)"},
		{"100:0:0:1::/64", "dummy prefix (RFC 9780)"},
		{"2001::/23", "IETF protocol assignments (RFC 2928)"},
		{"2001:db8::/32", "documentation (RFC 3849)"},
		{"2002::/16", "6to4 (RFC 3056)"},
		{"2620:4f:8000::/48", "AS112 (RFC 7534)"},
		{"3fff::/20", "documentation (RFC 9637)"},
		{"5f00::/16", "segment routing SIDs (RFC 9602)"},
		{"fc00::/7", "unique local (RFC 4193)"},
		{"fe80::/10", "link-local (RFC 4291)"},
		{"fec0::/10", "site-local (RFC 3879)"},
		{"ff00::/8", "multicast (RFC 4291)"},
		{"::/3", "reserved (RFC 4291)"},
		{"4000::/2", "reserved (RFC 4291)"},
		{"8000::/1", "reserved (RFC 4291)"},
	}
	out := make([]specialRange, len(rows))
	for i, r := range rows {
		out[i] = specialRange{netip.MustParsePrefix(r.cidr), r.name}
	}
	return out
}()

// metadata are the addresses at which clouds hand credentials to whoever asks.
// Some lie in public ranges.
var metadata = map[netip.Addr]string{
	netip.MustParseAddr("169.254.169.254"):    "cloud metadata",
	netip.MustParseAddr("169.254.169.250"):    "Rancher metadata",
	netip.MustParseAddr("169.254.169.252"):    "Google metadata of a cluster",
	netip.MustParseAddr("169.254.170.2"):      "AWS task credentials",
	netip.MustParseAddr("169.254.170.23"):     "AWS pod identity",
	netip.MustParseAddr("169.254.0.23"):       "Tencent metadata",
	netip.MustParseAddr("169.254.10.10"):      "Tencent metadata",
	netip.MustParseAddr("169.254.42.42"):      "Scaleway metadata",
	netip.MustParseAddr("100.100.100.200"):    "Alibaba metadata",
	netip.MustParseAddr("192.0.0.192"):        "Oracle metadata",
	netip.MustParseAddr("168.63.129.16"):      "Azure wire server",
	netip.MustParseAddr("fd00:ec2::254"):      "AWS metadata",
	netip.MustParseAddr("fd00:ec2::23"):       "AWS pod identity",
	netip.MustParseAddr("fd20:ce::254"):       "Google metadata",
	netip.MustParseAddr("fd00:c1::a9fe:a9fe"): "Oracle metadata",
	netip.MustParseAddr("fd00:a9fe:a9fe::1"):  "Linode metadata",
	netip.MustParseAddr("fd00:42::42"):        "Scaleway metadata",
	netip.MustParseAddr("fd00:100::100:200"):  "Alibaba metadata",
	netip.MustParseAddr("fe80::a9fe:a9fe"):    "OpenStack metadata",
}

// metadataNames are what clouds call those addresses. They are refused before
// they are resolved: inside a cloud a resolver, a hosts file or a proxy may give
// them any address. `metadata` alone is not here, as own services are called so;
// what it resolves to is judged.
var metadataNames = map[string]string{
	"metadata.google.internal":     "Google metadata",
	"metadata.goog":                "Google metadata",
	"metadata.azure.internal":      "Azure metadata",
	"metadata.tencentyun.com":      "Tencent metadata",
	"api.metadata.cloud.ibm.com":   "IBM metadata",
	"metadata.packet.net":          "Equinix metadata",
	"metadata.platformequinix.com": "Equinix metadata",
	"rancher-metadata":             "Rancher metadata",
	"instance-data":                "AWS metadata", // and under *.internal: see judgeName
}
