// A host in the place of an ESP32: what docs/esp32.md's sketch uses of Arduino, over POSIX. For tests.
// HOST_GATEWAY_PORT, HOST_GATEWAY: what mDNS finds. The microphone is a tone of 1 kHz, in real time.
#pragma once
#include <arpa/inet.h>
#include <cmath>
#include <cstdarg>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <thread>
#include <time.h>
#include <unistd.h>

class String : public std::string {
 public:
  String(const char *text) : std::string(text) {}
  String(const std::string &text) : std::string(text) {}
};
inline String operator+(const String &text, const char *more) { return std::string(text) + more; }
inline String operator+(const String &text, uint32_t number) { return std::string(text) + std::to_string(number); }

struct HostSerial {
  void begin(int) {}
  void printf(const char *form, ...) {
    va_list arguments;
    va_start(arguments, form);
    vfprintf(stderr, form, arguments);
    va_end(arguments);
  }
};
inline HostSerial Serial;

inline uint32_t millis() {
  timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)(now.tv_sec * 1000 + now.tv_nsec / 1000000);
}
inline void delay(uint32_t ms) { usleep(ms * 1000); }
inline long random(long most) { return ::rand() % most; }

using portMUX_TYPE = std::mutex;
#define portMUX_INITIALIZER_UNLOCKED {}
#define portENTER_CRITICAL(mux) (mux)->lock()
#define portEXIT_CRITICAL(mux) (mux)->unlock()
#define portMAX_DELAY 0xffffffffu
inline int xTaskCreatePinnedToCore(void (*task)(void *), const char *, uint32_t, void *given, int, void *, int) {
  std::thread(task, given).detach();
  return 1;
}

#define ESP_OK 0
#define ESP_ERROR_CHECK(call) do { if ((call) != ESP_OK) abort(); } while (0)

void setup();
void loop();
int main() {
  setup();
  for (;;) loop();
}
