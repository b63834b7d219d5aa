# The image of a release, from binaries that goreleaser has built: its folder has nothing else. ../../Dockerfile builds from the source; a test holds the
# two to the same.
FROM --platform=$BUILDPLATFORM debian:bookworm-slim AS folder
RUN mkdir -m 700 /out

# It has certificates, time zones and nothing to run; Postgres and Redis are outside.
FROM gcr.io/distroless/static-debian12:nonroot
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/tidings /tidings
COPY --from=folder --chown=65532:65532 /out /data
ENV LISTEN=0.0.0.0:8080 DATA_DIR=/data LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
USER 65532:65532
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["/tidings", "health"]
ENTRYPOINT ["/tidings"]
CMD ["serve"]
