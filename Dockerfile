# syntax=docker/dockerfile:1

FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download
COPY . .
ARG VERSION=unknown
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
	CGO_ENABLED=0 go build -buildvcs=false -trimpath -ldflags "-s -w -X main.version=$VERSION" -o /out/tidings ./cmd/tidings \
	&& mkdir /out/data

# It has certificates, time zones and nothing to run; Postgres and Redis are outside.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/tidings /tidings
COPY --from=build --chown=65532:65532 /out/data /data
ENV LISTEN=0.0.0.0:8080 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/tidings", "health"]
ENTRYPOINT ["/tidings"]
CMD ["serve"]
