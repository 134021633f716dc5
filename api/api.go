// Package api holds what is generated from proto/ for others to read: the OpenAPI
// document of the REST face, and the JSON Schema of the policy file. The contract
// itself is proto/; internal/openapigen writes both.
package api

import _ "embed" // for the documents

// OpenAPI is the document, version 3.1 as JSON, as /openapi.json serves it.
// Do not change its bytes.
//
//go:embed openapi.json
var OpenAPI []byte

// PolicySchema is the JSON Schema (draft 2020-12) of a policy file, for editors.
// Do not change its bytes.
//
//go:embed policy.schema.json
var PolicySchema []byte
