#!/bin/sh
# Writes Python stubs for the API of a running fetchsvc: stubs.sh HOST:PORT DIR
# It asks the service for its API by reflection, so it needs no proto files. It
# needs grpcurl, protoc and grpc_python_plugin: in Debian, the packages
# protobuf-compiler and protobuf-compiler-grpc.
set -eu
service=$1 dir=$2
mkdir -p "$dir"
grpcurl -plaintext -protoset-out "$dir/api.protoset" "$service" describe fetchsvc.v1.FetchService >/dev/null
grpcurl -plaintext -protoset-out "$dir/errors.protoset" "$service" describe google.rpc.ErrorInfo >/dev/null
protoc --descriptor_set_in="$dir/api.protoset:$dir/errors.protoset" \
	--plugin=protoc-gen-grpc_python="$(command -v grpc_python_plugin)" \
	--python_out="$dir" --grpc_python_out="$dir" \
	fetchsvc/v1/batch.proto fetchsvc/v1/body.proto fetchsvc/v1/field.proto fetchsvc/v1/ledger.proto \
	fetchsvc/v1/options.proto fetchsvc/v1/request.proto fetchsvc/v1/response.proto \
	fetchsvc/v1/service.proto fetchsvc/v1/stream.proto \
	buf/validate/validate.proto google/api/annotations.proto google/api/field_behavior.proto \
	google/api/http.proto google/rpc/error_details.proto google/rpc/status.proto
