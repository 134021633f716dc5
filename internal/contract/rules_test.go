package contract

// rulesText are the upstreams with rules, retries, redirects, credentials, grants
// and limits of their own; {forward} is the world's proxy.
const rulesText = `
  - name: ruled
    hosts: ["ruled.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {methods: [GET, HEAD, POST], paths: ["/repos/**", "/me", "/café", "/v*/items/*.json"]}
    deny:
      rules:
        - {methods: [POST], paths: ["/repos/*/locked"]}
        - {paths: ["/repos/**/secret"]}
  - name: known
    hosts: ["known.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {callers: [billing, ci-*]}
  - name: strangers
    hosts: ["strangers.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {callers: [anonymous]}
    deny: {callers: ["anon*"], methods: [DELETE]}
  - name: watched
    hosts: ["watched.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    allow: {paths: ["/known/**"]}
    mode: report
  - name: half-watched
    hosts: ["half-watched.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    deny:
      rules:
        - {methods: [PUT], mode: report}
        - {methods: [DELETE]}
  - name: loose
    hosts: ["loose.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    deny: {paths: ["/admin/**"]}
    unsafe_ambiguous_paths: true
  - name: routed
    hosts: ["routed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {max: {total: 1m}}
    routes:
      - {paths: ["/fast/**"], timeouts: {first_byte: 150ms, max: {total: 5s}}}
      - {paths: ["/fast/but/long"], timeouts: {first_byte: 20s}}
      - {paths: ["/small/**"], sizes: {response: 64B, max: {response: 128B}}}
      - {methods: [PUT], sizes: {request: 8B}}
      - {methods: [QUERY], retry: {max_attempts: 2, methods: [QUERY], backoff: {base: 10ms, jitter: none}}}
      - {callers: [billing], sizes: {response: 1B}}

  - name: retried
    hosts: ["retried.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 3, backoff: {base: 10ms, max: 20ms, jitter: none}, budget: {unlimited: true}}
  - name: counted
    hosts: ["counted.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 5, connect: 0, read: 1, status: 1, other: 0, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}
  - name: choosy
    hosts: ["choosy.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 3, statuses: [500], methods: [GET, POST], kinds: [CONNECTION_REFUSED], retry_after: {max: 1s}, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}
  - name: deaf
    hosts: ["deaf.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 2, retry_after: {ignore: true}, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}
  - name: thrifty
    hosts: ["thrifty.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 2, budget: {ratio: 0, min: 0}}
  - name: asked
    hosts: ["asked.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 1, max: {max_attempts: 3}, retry_after: {max: 5s}, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}
  - name: keyed
    hosts: ["keyed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 2, idempotency_key: {generate: true}, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}
  - name: own-keyed
    hosts: ["own-keyed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    retry: {max_attempts: 2, idempotency_key: {generate: true, header: X-Once, methods: [PATCH]}, backoff: {base: 10ms, max: 10ms, jitter: none}, budget: {unlimited: true}}

  - name: stays
    hosts: ["stays.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    redirects: {mode: none}
  - name: homely
    hosts: ["homely.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    redirects: {mode: same_origin, limit: 2, max: {mode: same_upstream, limit: 3}}
  - name: kin
    hosts: ["kin.test:*", "cousin.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    redirects: {mode: same_upstream, keep_headers: [X-Trace, X-Api-Key]}
  - name: roams
    hosts: ["roams.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    redirects: {mode: any, limit: 1}

  - name: signed
    hosts: ["signed.test:*", "unbound.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    credential: token
    scrub: "off" # the peer's answer is the request, byte by byte
    retry: {max_attempts: 2, backoff: {base: 10ms, jitter: none}, budget: {unlimited: true}}
    routes:
      - {paths: ["/other/**"], credential: other-token}
  - name: scrubbed
    hosts: ["scrubbed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    credential: token
    credentials: [other-token]
    caller_credentials: deny
  - name: refused
    hosts: ["refused.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    credential: token
    caller_credentials: keep
    scrub: refuse
  - name: unsigned
    hosts: ["unsigned.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    credential: lost-token

  - name: granted
    hosts: ["granted.test:*"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    timeouts: {connect: 20s, tls: 20s}
    grants: [request_proxy, request_ca, request_client_cert, unsafe_skip_verify, unsafe_request_host]
  - name: proxied
    hosts: ["proxied.test:*", "nowhere.test:443"]
    schemes: [http, https]
    unsafe_allow_addresses: [127.0.0.0/8]
    proxy: {url: "http://{forward}", username: fetchsvc, password: {secret: "env:PROXY_PASSWORD"}}
  - name: misproxied
    hosts: ["misproxied.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    proxy: {url: "http://{forward}", username: fetchsvc, password: {secret: "env:TOKEN"}}
  - name: secretless
    hosts: ["secretless.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    proxy: {url: "http://{forward}", username: fetchsvc, password: {secret: "env:NOWHERE"}}

  - name: full
    hosts: ["full.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    limits: {concurrent: 1, queue: 0}
  - name: busy
    hosts: ["busy.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    limits: {concurrent: 1}
    timeouts: {pool: 50ms}
  - name: jammed
    hosts: ["jammed.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    limits: {concurrent: 1}
  - name: narrow
    hosts: ["narrow.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    limits: {concurrent: 1, queue: 100}
  - name: sized
    hosts: ["sized.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    sizes: {request: 1KiB, request_header: 512B, response: 4KiB, decoded: 8KiB}
  - name: tight
    hosts: ["tight.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    sizes: {ratio: 50}
  - name: roomy
    hosts: ["roomy.test:*"]
    schemes: [http]
    unsafe_allow_addresses: [127.0.0.0/8]
    sizes: {ratio: 100000}

callers:
  - name: billing
  - name: ci-main
credentials:
  - {name: token, bind: ["http://signed.test:*", "http://scrubbed.test:*", "http://refused.test:*"], bearer: {token: {secret: "env:TOKEN"}}}
  - {name: other-token, bind: ["http://signed.test:*", "http://scrubbed.test:*"], bearer: {token: {secret: "env:OTHER_TOKEN"}}}
  - {name: lost-token, bind: ["http://unsigned.test:*"], bearer: {token: {secret: "env:NOWHERE"}}}
`
