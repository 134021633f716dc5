# docker build -t fetchsvc .
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X main.version=${VERSION}" -o /out/fetchsvc ./cmd/fetchsvc

# No shell, no package manager; CA certificates and time zones are there.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/fetchsvc /fetchsvc
USER 65532:65532
# gRPC and REST. While the configuration names no callers, serve listens on
# 127.0.0.1 only, so published ports reach nothing: run with --network=host, or
# as a sidecar in the pod of the one service that uses it.
EXPOSE 9090 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s CMD ["/fetchsvc", "healthcheck"]
ENTRYPOINT ["/fetchsvc"]
CMD ["serve"]
