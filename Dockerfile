# One recipe for all images: --build-arg BINARY=receiver chooses another program
# of cmd/. Without Docker, `go run ./hack/image` writes the same image.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG BINARY=manager
ARG TARGETOS
ARG TARGETARCH
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -ldflags "-s -w" -o /out/trail-operator "./cmd/$BINARY"

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /out/trail-operator /trail-operator
USER 65532:65532
ENTRYPOINT ["/trail-operator"]
