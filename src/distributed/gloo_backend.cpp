// The one file that sees c10d's Gloo process group. Gloo's headers are Debian's, of an older
// version than the one inside LibTorch: nothing of Gloo itself is made, called or derived from
// here, only handed on.
#include "distributed/gloo_backend.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <string>

#define USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

namespace littlebit {
namespace {

constexpr const char* kLoopback = "127.0.0.1";

std::string address_text(const sockaddr* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes =
      address->sa_family == AF_INET
          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in*>(address)->sin_addr)
          : &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  inet_ntop(address->sa_family, bytes, text.data(), text.size());
  return text.data();
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

// This host's address on the way to `host`; "" where there is none. Nothing is sent.
std::string address_towards(const std::string& host, int64_t port) {
  addrinfo wanted{}, *found = nullptr;
  wanted.ai_socktype = SOCK_DGRAM;
  if (getaddrinfo(host.c_str(), std::to_string(port).c_str(), &wanted, &found) != 0) return "";
  std::string address;
  for (const addrinfo* each = found; each != nullptr && address.empty(); each = each->ai_next) {
    // Connecting a datagram socket only asks the routing table which interface it would use.
    const int descriptor = socket(each->ai_family, each->ai_socktype, each->ai_protocol);
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    if (descriptor >= 0 && connect(descriptor, each->ai_addr, each->ai_addrlen) == 0 &&
        getsockname(descriptor, reinterpret_cast<sockaddr*>(&own), &size) == 0) {
      address = address_text(reinterpret_cast<const sockaddr*>(&own));
    }
    if (descriptor >= 0) close(descriptor);
  }
  freeaddrinfo(found);
  return address;
}

// The first address of this host that others may reach; "" where there is none.
std::string outer_address() {
  ifaddrs* interfaces = nullptr;
  if (getifaddrs(&interfaces) != 0) return "";
  std::string address;
  for (const ifaddrs* each = interfaces; each != nullptr && address.empty();
       each = each->ifa_next) {
    if (each->ifa_addr == nullptr || each->ifa_addr->sa_family != AF_INET) continue;
    const bool up = (each->ifa_flags & IFF_UP) != 0, own = (each->ifa_flags & IFF_LOOPBACK) != 0;
    if (up && !own) address = address_text(each->ifa_addr);
  }
  freeifaddrs(interfaces);
  return address;
}

// Where the others find this process. A host's own name often means the loopback address to itself,
// where processes of other hosts find nobody.
std::string own_address(const Environment& environment) {
  if (environment.is_one_host()) return kLoopback;
  const std::string address = address_towards(environment.master_address, environment.master_port);
  if (!address.empty() && !is_loopback(address)) return address;
  return outer_address();
}

}  // namespace

c10::intrusive_ptr<c10d::Backend> connect_gloo(const Environment& environment, int64_t rank,
                                               int64_t world,
                                               const c10::intrusive_ptr<c10d::Store>& store,
                                               std::chrono::milliseconds timeout) {
  using Group = c10d::ProcessGroupGloo;
  auto options = Group::Options::create(timeout);
  options->threads = 1;  // of collectives, which are not used
  const std::string address = own_address(environment);
  options->devices.push_back(!environment.interface.empty()
                                 ? Group::createDeviceForInterface(environment.interface)
                             : !address.empty() ? Group::createDeviceForHostname(address)
                                                : Group::createDefaultDevice());
  return c10::make_intrusive<Group>(store, static_cast<int>(rank), static_cast<int>(world),
                                    options);
}

}  // namespace littlebit
