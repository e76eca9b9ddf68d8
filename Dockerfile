# The images of Seri's roles, one target each: api, worker, beat, and seri (the command line; it can be any of the others).
#
#   docker build --target worker -t seri-worker .
#   docker buildx build --platform linux/amd64,linux/arm64 --target api --build-arg VERSION=v0.1.0 -t REGISTRY/seri-api:v0.1.0 --push .
#   buildah bud --platform linux/arm64 --build-arg BUILDPLATFORM=linux/amd64 --target api -t seri-api .
#
# Binaries are cross-compiled, never emulated. There is no shell inside: what is needed at three in the morning, `seri`
# brings along or asks over HTTP. Settings are environment variables; see docs/operations.md. Nothing below is written to
# but /data, so the root file system may be read-only. `make image-test` builds the images and runs them so.
#
# There is no HEALTHCHECK: ECS and Kubernetes ignore it. What they should run instead is the program itself, with the
# argument "health"; deploy/docker-compose.yml shows it.

FROM --platform=$BUILDPLATFORM docker.io/library/golang:1.26 AS build
ARG TARGETOS
ARG TARGETARCH
# What the programs call their version; the build sees no version control.
ARG VERSION=
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# -ldflags "-s -w" leaves out what only debuggers read.
RUN --mount=type=cache,target=/root/.cache/go-build \
    mkdir -p /out/data && \
    CGO_ENABLED=0 GOOS=${TARGETOS:-linux} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X github.com/seri-queue/seri/internal/role.release=${VERSION}" \
    -o /out/ ./cmd/api ./cmd/worker ./cmd/beat ./cmd/seri

# What all images share: certificates of the public authorities, and nothing else. Time zones are inside the binaries.
# The user 65532 is "nonroot" in distroless images; it needs no entry in a file of users.
# Whom "health" asks: a port of the loopback interface, which is the container's own or that of its task.
FROM scratch AS base
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
ENV SERI_HEALTH_ADDR=127.0.0.1:8079
USER 65532:65532
STOPSIGNAL SIGTERM

FROM base AS api
COPY --from=build /out/api /usr/local/bin/api
EXPOSE 8080
ENTRYPOINT ["/usr/local/bin/api"]

# The only role that writes files: below /data, which is a volume while the rest is read-only.
FROM base AS worker
COPY --from=build /out/worker /usr/local/bin/worker
COPY --from=build --chown=65532:65532 /out/data /data
ENV SERI_OUTPUT_DIR=/data/files
VOLUME /data
ENTRYPOINT ["/usr/local/bin/worker"]

FROM base AS beat
COPY --from=build /out/beat /usr/local/bin/beat
ENTRYPOINT ["/usr/local/bin/beat"]

FROM base AS seri
COPY --from=build /out/seri /usr/local/bin/seri
ENTRYPOINT ["/usr/local/bin/seri"]
