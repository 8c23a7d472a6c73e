#pragma once
#include "WiFi.h"

struct HostMdns {
  bool begin(const char *) { return true; }
  int queryService(const char *service, const char *protocol) {
    return !strcmp(service, "echostream") && !strcmp(protocol, "tcp") && getenv("HOST_GATEWAY_PORT") ? 1 : 0;
  }
  IPAddress address(int) {
    IPAddress found;
    inet_aton("127.0.0.1", &found.address);
    return found;
  }
  uint16_t port(int) { return atoi(getenv("HOST_GATEWAY_PORT")); }
};
inline HostMdns MDNS;
