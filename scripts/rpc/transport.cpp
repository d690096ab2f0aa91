// The transport of llama.cpp's RPC backend over Unix sockets, in the place of its own
// over TCP: the protocol has no authentication, so nothing that is built here can be
// reached from a network, and on this machine the socket's folder says who may connect.
// An endpoint is PATH:0. Implements ggml/src/ggml-rpc/transport.h.
#include "transport.h"
#include "ggml-impl.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct socket_t::impl {
    explicit impl(int fd) : fd(fd) {}
    ~impl() { close(fd); }
    const int fd;
};

socket_t::socket_t(std::unique_ptr<impl> p) : pimpl(std::move(p)) {}
socket_t::~socket_t() = default;

bool socket_t::send_data(const void * data, size_t size) {
    const char * next = static_cast<const char *>(data);
    while (size > 0) {
        const ssize_t sent = send(pimpl->fd, next, std::min(size, MAX_CHUNK_SIZE), MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            return false;
        }
        next += sent;
        size -= static_cast<size_t>(sent);
    }
    return true;
}

bool socket_t::recv_data(void * data, size_t size) {
    char * next = static_cast<char *>(data);
    while (size > 0) {
        const ssize_t got = recv(pimpl->fd, next, std::min(size, MAX_CHUNK_SIZE), 0);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return false;
        }
        next += got;
        size -= static_cast<size_t>(got);
    }
    return true;
}

bool socket_t::flush() { return true; }

// There is no other transport to change to.
void socket_t::get_caps(uint8_t * local_caps) { memset(local_caps, 0, RPC_CONN_CAPS_SIZE); }
void socket_t::update_caps(const uint8_t * remote_caps) { GGML_UNUSED(remote_caps); }

static bool unix_address(const char * path, sockaddr_un & address) {
    address = {};
    address.sun_family = AF_UNIX;
    if (path[0] != '/' || strlen(path) >= sizeof(address.sun_path)) {
        GGML_LOG_ERROR("Not the path of a Unix socket: %s\n", path);
        return false;
    }
    strcpy(address.sun_path, path);
    return true;
}

socket_ptr socket_t::accept() {
    int fd;
    do {
        fd = ::accept(pimpl->fd, nullptr, nullptr);
    } while (fd < 0 && errno == EINTR);
    return fd < 0 ? nullptr : socket_ptr(new socket_t(std::make_unique<impl>(fd)));
}

socket_ptr socket_t::create_server(const char * host, int port) {
    GGML_UNUSED(port);
    sockaddr_un address;
    const int fd = unix_address(host, address) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        return nullptr;
    }
    socket_ptr server(new socket_t(std::make_unique<impl>(fd)));
    const bool is_open = bind(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0 && listen(fd, 4) == 0;
    return is_open ? server : nullptr;
}

socket_ptr socket_t::connect(const char * host, int port) {
    GGML_UNUSED(port);
    sockaddr_un address;
    const int fd = unix_address(host, address) ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : -1;
    if (fd < 0) {
        return nullptr;
    }
    socket_ptr client(new socket_t(std::make_unique<impl>(fd)));
    const bool is_open = ::connect(fd, reinterpret_cast<sockaddr *>(&address), sizeof(address)) == 0;
    return is_open ? client : nullptr;
}

bool rpc_transport_init() { return true; }
void rpc_transport_shutdown() {}
