// Package ssrftest attacks the egress guard through the real engine, its pools
// and its doors: spellings of addresses, names that resolve to them, answers that
// change, redirects, proxies. Listeners stand where the attacks aim and must hear
// nothing. It holds tests alone.
package ssrftest
