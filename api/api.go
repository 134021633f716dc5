// Package api holds the OpenAPI document of the REST face. The contract itself
// is proto/; the document is generated from it by internal/openapigen.
package api

import _ "embed" // for OpenAPI

// OpenAPI is the document, version 3.1 as JSON, as /openapi.json serves it.
// Do not change its bytes.
//
//go:embed openapi.json
var OpenAPI []byte
