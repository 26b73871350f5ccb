#include "server/dispatch/scratch.h"

namespace sluice::server {
namespace {

// The capacity kept for the next command; a larger vector is freed.
constexpr std::size_t kKeptItemsMax = std::size_t{64} * 1024;

template <typename Container>
void Recycle(Container& container) noexcept {
  container.clear();
  if (container.capacity() > kKeptItemsMax) {
    container = Container();
  }
}

template <typename Pool>
auto& NextOf(Pool& pool, std::size_t& used) {
  if (used == pool.size()) {
    pool.emplace_back();
  }
  return pool[used++];
}

}  // namespace

std::vector<std::int64_t>& Scratch::Ints() {
  return NextOf(ints, ints_used);
}

std::string& Scratch::Bytes() {
  return NextOf(bytes, bytes_used);
}

void Scratch::Reset() noexcept {
  Recycle(keys);
  Recycle(fields);
  Recycle(words);
  Recycle(indexes);
  Recycle(columns);
  Recycle(safetensors);
  Recycle(tags);
  Recycle(texts);
  for (; ints_used > 0; --ints_used) {
    Recycle(ints[ints_used - 1]);
  }
  for (; bytes_used > 0; --bytes_used) {
    Recycle(bytes[bytes_used - 1]);
  }
  Recycle(write.fields);
  Recycle(write.tags);
  read.Reset();
}

}  // namespace sluice::server
