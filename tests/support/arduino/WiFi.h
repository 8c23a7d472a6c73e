#pragma once
#include "host_board.h"

enum { WIFI_STA = 1, WL_CONNECTED = 3 };

class IPAddress {
 public:
  in_addr address = {};
};

struct HostWiFi {
  void mode(int) {}
  void setSleep(bool) {}
  void setAutoReconnect(bool) {}
  void begin(const char *, const char *) {}
  int status() { return WL_CONNECTED; }
  bool hostByName(const char *name, IPAddress &address) { return inet_aton(name, &address.address); }
};
inline HostWiFi WiFi;

class WiFiClient {
  int fd = -1;

 public:
  bool connect(IPAddress to, uint16_t port, int32_t) {
    stop();
    fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in target = {};
    target.sin_family = AF_INET;
    target.sin_port = htons(port);
    target.sin_addr = to.address;
    if (::connect(fd, (sockaddr *)&target, sizeof target) == 0) return true;
    stop();
    return false;
  }
  bool connected() {
    char byte;
    if (fd < 0) return false;
    ssize_t got = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return got > 0 || (got < 0 && errno == EAGAIN);
  }
  void stop() {
    if (fd >= 0) close(fd);
    fd = -1;
  }
  void setNoDelay(bool on) {
    int value = on;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
  }
  size_t write(const uint8_t *data, size_t size) {
    size_t sent = 0;
    while (sent < size) {
      ssize_t part = send(fd, data + sent, size - sent, MSG_NOSIGNAL);
      if (part <= 0) break;
      sent += part;
    }
    return sent;
  }
  size_t print(const String &text) { return write((const uint8_t *)text.data(), text.size()); }
};
