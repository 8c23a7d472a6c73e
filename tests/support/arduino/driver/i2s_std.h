// The part of ESP-IDF's I2S driver that the sketch uses. The microphone: 1 kHz at -20 dBFS of 24 bits.
#pragma once
#include "../host_board.h"

enum gpio_num_t { GPIO_NUM_25 = 25, GPIO_NUM_26 = 26, GPIO_NUM_33 = 33 };
enum { I2S_NUM_AUTO = -1, I2S_ROLE_MASTER = 0, I2S_DATA_BIT_WIDTH_32BIT = 32, I2S_SLOT_MODE_MONO = 1, I2S_STD_SLOT_LEFT = 1 };
const gpio_num_t I2S_GPIO_UNUSED = (gpio_num_t)-1;

struct i2s_chan_config_t { int id, role; };
struct i2s_std_clk_config_t { uint32_t sample_rate_hz; };
struct i2s_std_slot_config_t { int data_bit_width, slot_mode, slot_mask; };
struct i2s_std_gpio_config_t { gpio_num_t mclk, bclk, ws, dout, din; };
struct i2s_std_config_t { i2s_std_clk_config_t clk_cfg; i2s_std_slot_config_t slot_cfg; i2s_std_gpio_config_t gpio_cfg; };
#define I2S_CHANNEL_DEFAULT_CONFIG(id, role) { id, role }
#define I2S_STD_CLK_DEFAULT_CONFIG(rate) { rate }
#define I2S_STD_PHILIPS_SLOT_DEFAULT_CONFIG(bits, mode) { bits, mode, 0 }

struct HostMicrophone {
  uint32_t rate_hz = 0;
  uint64_t taken = 0;
  timespec started = {};
};
using i2s_chan_handle_t = HostMicrophone *;

inline int i2s_new_channel(const i2s_chan_config_t *, i2s_chan_handle_t *, i2s_chan_handle_t *rx) {
  *rx = new HostMicrophone;
  return ESP_OK;
}
inline int i2s_channel_init_std_mode(i2s_chan_handle_t rx, const i2s_std_config_t *config) {
  rx->rate_hz = config->clk_cfg.sample_rate_hz;
  bool as_wired = config->slot_cfg.slot_mask == I2S_STD_SLOT_LEFT && config->gpio_cfg.din != I2S_GPIO_UNUSED;
  return as_wired ? ESP_OK : 1;
}
inline int i2s_channel_enable(i2s_chan_handle_t rx) {
  clock_gettime(CLOCK_MONOTONIC, &rx->started);
  return ESP_OK;
}
inline int i2s_channel_read(i2s_chan_handle_t rx, void *into, size_t size, size_t *got, uint32_t) {
  int32_t *slots = (int32_t *)into;
  size_t count = size / sizeof *slots;
  for (size_t i = 0; i < count; i++) {
    double at_s = (double)(rx->taken + i) / rx->rate_hz;
    slots[i] = (int32_t)lrint(0.1 * 8388607 * sin(2 * M_PI * 1000 * at_s)) * 256 + 0x5a;  // open low bits
  }
  rx->taken += count;
  int64_t due_ns = (int64_t)rx->started.tv_sec * 1000000000 + rx->started.tv_nsec + (int64_t)(rx->taken * 1e9 / rx->rate_hz);
  timespec due = {due_ns / 1000000000, due_ns % 1000000000};
  clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
  *got = size;
  return ESP_OK;
}
