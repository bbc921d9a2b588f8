// Devices and number types as options name them. What they are to LibTorch: device/device.h.
#pragma once

namespace littlebit {

enum class DeviceKind { kAuto, kCpu, kCuda };

enum class FloatKind { kAuto, kFp32, kBf16 };

}  // namespace littlebit
