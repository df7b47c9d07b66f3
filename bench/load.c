/* The load generator of the benches: HTTP/1.1 over TLS with a client certificate, in one thread over epoll.
 *
 *   cc -O2 -o load load.c -lssl -lcrypto
 *   load -P port -E client.pem [-c connections] [-d seconds] [-w seconds of warming up] [-p path] [-H 'Name: value']...
 *        [-m keep|close|handshake]  requests on kept connections, one on each connection, or none at all
 *        [-V count]                 so many different requests in turn: query, Referer and Traceparent
 *        [-D depth]                 so many requests in one write, whose responses are read before the next write
 *        [-B count]                 a POST whose body is so many chunks of one byte each
 *        [-F file]                  POSTs, whose bodies are those of a file in turn: a line with the length, the bytes, ...,
 *                                   each shorter than a record of TLS
 *        [-b address]               the source address of the first connection; each further one takes the next (of 200)
 *        [-x]                       a response that is not 2xx is what is expected, and so is the connection's end after it
 *
 * When warming up is over, the line "measuring" is printed, and at the end one line of JSON; times are milliseconds:
 *   requests, seconds, p50, p99, worst (an answer still awaited at the end counts with its wait so far), errors,
 *   refused (not 2xx), repeated (heads equal to the one that was read before, whichever connection it came on),
 *   handshakes, bytes (of responses' bodies), least and most (bytes of the connections that got least and most),
 *   sent (bytes of requests).
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

enum mode { KEEP, CLOSE, HANDSHAKE };
enum framing { LENGTH, CHUNKED, TO_THE_END };
enum chunk { SIZE, EXTENSION, DATA, AFTER_DATA, TRAILER, TRAILER_LINE };

struct message { char *bytes; size_t length; };

struct connection {
    int number, fd, interest, shaken;
    SSL *ssl;
    struct message sending;   /* what goes out, and how much of it has gone */
    size_t sent;
    int awaited;              /* responses to what was sent */
    char in[65536];           /* the beginning of a head, while it is not complete */
    size_t held;
    int in_body, last;        /* within a response's body; the response says that the connection ends */
    enum framing framing;
    enum chunk chunk;
    long long left;           /* of the body, or of the chunk */
    double began;             /* seconds: when what is waited for began */
    unsigned long long bytes; /* of bodies, while measuring */
};

static SSL_CTX *context;
static int poll_fd, port, connections = 32, depth = 1, varied, small_chunks, expected_refusal, measuring;
static enum mode mode = KEEP;
static const char *path = "/1k", *pem;
static struct message *bodies;
static int body_count;
static char extra[32768];
static struct in_addr source;
static struct message *messages;
static int message_count, next_message;
static unsigned long long requests, errors, refused, repeated, handshakes, sent, last_head;
static float *waits;
static size_t waits_held, waits_room;

static void open_connection(struct connection *c);

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static void wait_for(struct connection *c, int interest)
{
    struct epoll_event event = {.events = interest, .data.ptr = c};
    if (interest != c->interest)
        epoll_ctl(poll_fd, c->interest ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, c->fd, &event);
    c->interest = interest;
}

static void keep_wait(double seconds)
{
    if (waits_held == waits_room)
        waits = realloc(waits, (waits_room = waits_room ? 2 * waits_room : 65536) * sizeof *waits);
    waits[waits_held++] = seconds * 1000;
}

/* Close, and open again: a client that has lost its connection makes a new one. */
static void reopen(struct connection *c, int failed)
{
    errors += failed && measuring;
    if (!failed)
        SSL_shutdown(c->ssl);
    SSL_free(c->ssl);
    ERR_clear_error();
    if (c->fd >= 0)
        close(c->fd);
    if (failed)
        usleep(1000);
    open_connection(c);
}

static void open_connection(struct connection *c)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (source.s_addr) {
        struct sockaddr_in from = {.sin_family = AF_INET};
        from.sin_addr.s_addr = htonl(ntohl(source.s_addr) + c->number % 200);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
        bind(c->fd, (struct sockaddr *)&from, sizeof from);
    }
    c->began = now();
    c->interest = c->shaken = c->held = c->in_body = c->awaited = 0;
    c->sending.length = c->sent = 0;
    connect(c->fd, (struct sockaddr *)&to, sizeof to); /* a failure is seen by the handshake */
    c->ssl = SSL_new(context);
    SSL_set_fd(c->ssl, c->fd);
    SSL_set_tlsext_host_name(c->ssl, "localhost");
    SSL_set_connect_state(c->ssl);
    wait_for(c, EPOLLOUT);
}

static void next_request(struct connection *c)
{
    c->sending = messages[next_message];
    next_message = (next_message + 1) % message_count;
    c->sent = 0;
    c->awaited = depth;
    if (mode == KEEP)
        c->began = now();
}

/* What a call of OpenSSL that did not succeed waits for. Returns 0 if it waits, or if the end came where it may. */
static int settle(struct connection *c, int result)
{
    int error = SSL_get_error(c->ssl, result);
    if (error == SSL_ERROR_WANT_READ)
        wait_for(c, c->sent < c->sending.length ? EPOLLIN | EPOLLOUT : EPOLLIN);
    else if (error == SSL_ERROR_WANT_WRITE)
        wait_for(c, EPOLLIN | EPOLLOUT);
    else
        return -1;
    return 0;
}

static void answered(struct connection *c)
{
    double time = now();
    c->in_body = 0;
    c->awaited--;
    if (measuring) {
        requests++;
        keep_wait(time - c->began);
    }
    if (depth > 1)
        c->began = time;
}

/* How much of these bytes belongs to the chunked body; *end is set when it is complete. */
static size_t read_chunks(struct connection *c, const char *bytes, size_t length, int *end)
{
    size_t at = 0;
    while (at < length && !*end) {
        char byte = bytes[at];
        if (c->chunk == DATA) {
            size_t take = length - at < (size_t)c->left ? length - at : (size_t)c->left;
            at += take;
            c->left -= take;
            c->chunk = c->left ? DATA : AFTER_DATA;
            continue;
        }
        at++;
        if (c->chunk == SIZE && byte != '\n') {
            int digit = byte >= '0' && byte <= '9' ? byte - '0' : (byte | 32) >= 'a' && (byte | 32) <= 'f' ? (byte | 32) - 'a' + 10 : -1;
            if (byte == ';')
                c->chunk = EXTENSION;
            else if (digit >= 0)
                c->left = c->left * 16 + digit;
        } else if (byte == '\n' && (c->chunk == SIZE || c->chunk == EXTENSION)) {
            c->chunk = c->left ? DATA : TRAILER;
        } else if (c->chunk == AFTER_DATA && byte == '\n') {
            c->chunk = SIZE;
        } else if (c->chunk == TRAILER && byte == '\n') {
            *end = 1;
        } else if (c->chunk == TRAILER && byte != '\r') {
            c->chunk = TRAILER_LINE;
        } else if (c->chunk == TRAILER_LINE && byte == '\n') {
            c->chunk = TRAILER;
        }
    }
    return at;
}

static size_t read_body(struct connection *c, const char *bytes, size_t length)
{
    size_t used = length;
    int end = 0;
    if (c->framing == CHUNKED) {
        used = read_chunks(c, bytes, length, &end);
    } else if (c->framing == LENGTH) {
        used = length < (size_t)c->left ? length : (size_t)c->left;
        c->left -= used;
        end = !c->left;
    }
    if (measuring)
        c->bytes += used;
    if (end)
        answered(c);
    return used;
}

static void read_head(struct connection *c, char *head, size_t length)
{
    int status = atoi(head + 9);
    unsigned long long sum = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < length; i++)
        sum = (sum ^ (unsigned char)head[i]) * 1099511628211u;
    if (measuring) {
        refused += status < 200 || status > 299;
        repeated += sum == last_head;
    }
    last_head = sum;
    c->framing = TO_THE_END;
    c->left = 0;
    c->last = mode == CLOSE;
    head[length - 2] = 0;
    for (char *line = strstr(head, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
        char *field = line + 2;
        if (!strncasecmp(field, "content-length:", 15)) {
            c->framing = LENGTH;
            c->left = atoll(field + 15);
        } else if (!strncasecmp(field, "transfer-encoding:", 18)) {
            c->framing = CHUNKED;
            c->chunk = SIZE;
        } else if (!strncasecmp(field, "connection:", 11)) {
            c->last |= !strncasecmp(field + 11 + strspn(field + 11, " "), "close", 5);
        }
    }
    if (status == 204 || status == 304) {
        c->framing = LENGTH;
        c->left = 0;
    }
    c->in_body = 1;
    if (c->framing == LENGTH && !c->left)
        answered(c);
}

/* Take in what has come: as many responses as it holds. Returns -1 if it is not understood. */
static int take(struct connection *c, char *bytes, size_t length)
{
    while (length) {
        if (c->in_body) {
            size_t used = read_body(c, bytes, length);
            bytes += used;
            length -= used;
            continue;
        }
        size_t before = c->held, room = sizeof c->in - 1 - before, copied = length < room ? length : room;
        memcpy(c->in + before, bytes, copied);
        char *end = memmem(c->in, before + copied, "\r\n\r\n", 4);
        if (!end) {
            c->held += copied;
            return copied == room ? -1 : 0;
        }
        size_t head = end + 4 - c->in;
        bytes += head - before;
        length -= head - before;
        c->held = 0;
        read_head(c, c->in, head);
    }
    return 0;
}

/* Read a few records at most, so that one connection does not keep the others waiting. Returns 1 to write next. */
static int receive(struct connection *c)
{
    static char bytes[32768];
    for (int records = 0; records < 4 || SSL_pending(c->ssl); records++) {
        int got = SSL_read(c->ssl, bytes, sizeof bytes);
        if (got <= 0) {
            if (settle(c, got)) {
                int ends_body = c->in_body && c->framing == TO_THE_END;
                if (ends_body)
                    answered(c);
                reopen(c, !(ends_body || (expected_refusal && !c->in_body && !c->held && c->awaited < depth)));
            }
            return 0;
        }
        if (take(c, bytes, got)) {
            reopen(c, 1);
            return 0;
        }
        if (!c->in_body && c->last && c->awaited < depth) {
            reopen(c, !expected_refusal && c->awaited > 0);
            return 0;
        }
        if (!c->awaited) {
            next_request(c);
            return 1;
        }
    }
    return 0;
}

static int transmit(struct connection *c)
{
    while (c->sent < c->sending.length) {
        int put = SSL_write(c->ssl, c->sending.bytes + c->sent, c->sending.length - c->sent);
        if (put <= 0)
            return settle(c, put);
        c->sent += put;
        sent += measuring ? put : 0;
        if (small_chunks && c->sent < c->sending.length) {
            wait_for(c, EPOLLIN | EPOLLOUT); /* a large body: now it is the other connections' turn */
            return 0;
        }
    }
    wait_for(c, EPOLLIN);
    return 0;
}

static void step(struct connection *c, int events)
{
    if (!c->shaken) {
        int result = SSL_do_handshake(c->ssl);
        if (result != 1) {
            int error = SSL_get_error(c->ssl, result);
            if (error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE)
                wait_for(c, error == SSL_ERROR_WANT_READ ? EPOLLIN : EPOLLOUT);
            else
                reopen(c, 1);
            return;
        }
        c->shaken = 1;
        handshakes += measuring;
        if (mode == HANDSHAKE) {
            c->awaited = 1;
            answered(c);
            reopen(c, 0);
            return;
        }
        next_request(c);
    } else if (events & ~EPOLLOUT && !receive(c) && c->sent == c->sending.length) {
        return;
    }
    if (c->shaken && transmit(c))
        reopen(c, !expected_refusal);
}

static int read_bodies(const char *name)
{
    FILE *file = fopen(name, "rb");
    long length;
    while (file && fscanf(file, "%ld", &length) == 1 && fgetc(file) == '\n') {
        bodies = realloc(bodies, (body_count + 1) * sizeof *bodies);
        bodies[body_count] = (struct message){malloc(length), length};
        if (fread(bodies[body_count++].bytes, 1, length, file) != (size_t)length)
            return 0;
    }
    if (file)
        fclose(file);
    return body_count;
}

static struct message request(int number)
{
    unsigned hash = (number + 1) * 2654435761u;
    struct message body = body_count ? bodies[number % body_count] : (struct message){NULL, 0};
    size_t room = 4096 + strlen(path) + strlen(extra);
    char *head = malloc(room), differing[512] = "", query[64] = "", framing[64] = "";
    if (body_count)
        snprintf(framing, sizeof framing, "Content-Length: %zu\r\n", body.length);
    else if (small_chunks)
        strcpy(framing, "Transfer-Encoding: chunked\r\n");
    if (varied) {
        snprintf(query, sizeof query, "%citem=%d", strchr(path, '?') ? '&' : '?', number);
        snprintf(differing, sizeof differing,
                 "Referer: https://localhost/list/%u\r\nTraceparent: 00-%08x%08x%08x%08x-%08x%08x-01\r\n",
                 hash % 977, hash, hash * 3, hash * 5, hash * 7, hash * 11, hash * 13);
    }
    int length = snprintf(head, room,
                          "%s %s%s HTTP/1.1\r\nHost: localhost:%d\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) load\r\n"
                          "Accept: */*\r\n%s%s%s%s\r\n",
                          small_chunks || body_count ? "POST" : "GET", path, query, port, differing, extra, framing,
                          mode == CLOSE ? "Connection: close\r\n" : "");
    struct message whole = {malloc((size_t)depth * (length + body.length + 6 * (size_t)small_chunks + 5)), 0};
    for (int i = 0; i < depth; i++) {
        whole.length = mempcpy(whole.bytes + whole.length, head, length) - (void *)whole.bytes;
        if (body.length)
            whole.length = mempcpy(whole.bytes + whole.length, body.bytes, body.length) - (void *)whole.bytes;
        for (int chunk = 0; chunk < small_chunks; chunk++)
            whole.length = mempcpy(whole.bytes + whole.length, "1\r\nx\r\n", 6) - (void *)whole.bytes;
        if (small_chunks)
            whole.length = mempcpy(whole.bytes + whole.length, "0\r\n\r\n", 5) - (void *)whole.bytes;
    }
    free(head);
    return whole;
}

static int ascending(const void *first, const void *second)
{
    float a = *(const float *)first, b = *(const float *)second;
    return (a > b) - (a < b);
}

static void report(struct connection *all, double seconds)
{
    unsigned long long bytes = 0, least = ~0ull, most = 0;
    double time = now(), worst = 0;
    for (int i = 0; i < connections; i++) {
        bytes += all[i].bytes;
        least = all[i].bytes < least ? all[i].bytes : least;
        most = all[i].bytes > most ? all[i].bytes : most;
        worst = time - all[i].began > worst ? time - all[i].began : worst;
    }
    qsort(waits, waits_held, sizeof *waits, ascending);
    worst *= 1000;
    if (waits_held && waits[waits_held - 1] > worst)
        worst = waits[waits_held - 1];
    printf("{\"requests\":%llu,\"seconds\":%.3f,\"p50\":%.3f,\"p99\":%.3f,\"worst\":%.3f,\"errors\":%llu,\"refused\":%llu,"
           "\"repeated\":%llu,\"handshakes\":%llu,\"bytes\":%llu,\"least\":%llu,\"most\":%llu,\"sent\":%llu}\n",
           requests, seconds, waits_held ? waits[waits_held / 2] : 0, waits_held ? waits[(size_t)((waits_held - 1) * .99)] : 0,
           worst, errors, refused, repeated, handshakes, bytes, least, most, sent);
}

static void run(double warming, double seconds)
{
    struct connection *all = calloc(connections, sizeof *all);
    struct epoll_event events[256];
    double began = now(), measured = 0, time;
    poll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (int i = 0; i < connections; i++) {
        all[i].number = i;
        open_connection(&all[i]);
    }
    while ((time = now()) < began + warming + seconds) {
        if (!measuring && time >= began + warming) {
            puts("measuring");
            fflush(stdout);
            measuring = 1;
            measured = now();
        }
        int ready = epoll_wait(poll_fd, events, 256, 50);
        for (int i = 0; i < ready; i++)
            step(events[i].data.ptr, events[i].events);
    }
    report(all, now() - measured);
}

int main(int count, char **words)
{
    double warming = 1, seconds = 3;
    int option;
    signal(SIGPIPE, SIG_IGN);
    while ((option = getopt(count, words, "P:E:c:d:w:p:H:m:V:D:B:F:b:x")) > 0)
        switch (option) {
        case 'P': port = atoi(optarg); break;
        case 'E': pem = optarg; break;
        case 'c': connections = atoi(optarg); break;
        case 'd': seconds = atof(optarg); break;
        case 'w': warming = atof(optarg); break;
        case 'p': path = optarg; break;
        case 'm': mode = !strcmp(optarg, "close") ? CLOSE : !strcmp(optarg, "handshake") ? HANDSHAKE : KEEP; break;
        case 'V': varied = atoi(optarg); break;
        case 'D': depth = atoi(optarg); break;
        case 'B': small_chunks = atoi(optarg); break;
        case 'F': if (!read_bodies(optarg)) return 2; break;
        case 'b': if (!inet_aton(optarg, &source)) return 2; break;
        case 'x': expected_refusal = 1; break;
        case 'H':
            if (strlen(extra) + strlen(optarg) + 3 > sizeof extra) return 2;
            strcat(strcat(extra, optarg), "\r\n");
            break;
        default: return 2;
        }
    context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_alpn_protos(context, (const unsigned char *)"\x08http/1.1", 9);
    if (!port || !pem || SSL_CTX_use_certificate_chain_file(context, pem) != 1 ||
        SSL_CTX_use_PrivateKey_file(context, pem, SSL_FILETYPE_PEM) != 1) {
        ERR_print_errors_fp(stderr);
        return 2;
    }
    message_count = varied ? varied : 1;
    messages = malloc(message_count * sizeof *messages);
    for (int i = 0; i < message_count; i++)
        messages[i] = request(i);
    run(warming, seconds);
    return 0;
}
