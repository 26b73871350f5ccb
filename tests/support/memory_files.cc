#include "tests/support/memory_files.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace sluice::server {
namespace {

// A change of a file's bytes.
struct ByteChange {
  bool sets_size = false;    // Truncate(), or Reserve() beyond the end
  std::uint64_t offset = 0;  // or the size
  std::string bytes;
};

void Apply(const ByteChange& change, std::string& bytes) {
  if (change.sets_size) {
    bytes.resize(change.offset);
    return;
  }
  bytes.resize(std::max(bytes.size(), change.offset + change.bytes.size()));
  std::copy(change.bytes.begin(), change.bytes.end(),
            bytes.begin() + static_cast<std::ptrdiff_t>(change.offset));
}

// Applies the parts of a write that reached the disk.
void ApplyTorn(const ByteChange& change, std::mt19937_64& random, std::string& bytes) {
  const std::uint64_t block = std::uint64_t{1} << std::array{0, 9, 12}[random() % 3];
  const std::uint64_t end = change.offset + change.bytes.size();
  if (block == 1) {
    const std::uint64_t length = random() % (change.bytes.size() + 1);
    Apply({.offset = change.offset, .bytes = change.bytes.substr(0, length)}, bytes);
    return;
  }
  for (std::uint64_t begin = change.offset; begin < end;) {
    const std::uint64_t next = std::min(end, (begin / block + 1) * block);
    if (random() % 2 == 0) {
      Apply({.offset = begin, .bytes = change.bytes.substr(begin - change.offset, next - begin)},
            bytes);
    }
    begin = next;
  }
}

}  // namespace

struct MemoryFiles::Node {
  // A change of a folder's names: `name` means `node` now, or nothing.
  struct NameChange {
    std::string name;
    NodeRef node;
    std::string from;  // Rename(): the name that it had
  };
  bool folder = false;
  bool locked = false;
  std::string bytes;
  std::string synced_bytes;
  std::vector<ByteChange> byte_changes;  // since the last sync
  std::map<std::string, NodeRef> names;
  std::map<std::string, NodeRef> synced_names;
  std::vector<NameChange> name_changes;

  void Change(ByteChange change) {
    Apply(change, bytes);
    byte_changes.push_back(std::move(change));
  }
  static void Change(const NameChange& change, std::map<std::string, NodeRef>& names) {
    names.erase(change.from);
    if (change.node == nullptr) {
      names.erase(change.name);
    } else {
      names[change.name] = change.node;
    }
  }
  void Change(NameChange change) {
    Change(change, names);
    name_changes.push_back(std::move(change));
  }
};

MemoryFiles::MemoryFiles() : top_(std::make_shared<Node>()) {
  top_->folder = true;
}

MemoryFiles::~MemoryFiles() = default;

MemoryFiles::NodeRef MemoryFiles::AfterCrash(const Node& node, std::mt19937_64& random,
                                             std::map<const Node*, NodeRef>& done) {
  NodeRef& found = done[&node];
  if (found != nullptr) {
    return found;
  }
  NodeRef after = std::make_shared<Node>();
  found = after;
  after->folder = node.folder;
  after->bytes = node.synced_bytes;
  for (const ByteChange& change : node.byte_changes) {
    switch (random() % 3) {
      case 0:
        break;
      case 1:
        Apply(change, after->bytes);
        break;
      default:
        if (!change.sets_size) {
          ApplyTorn(change, random, after->bytes);
        }
    }
  }
  std::map<std::string, NodeRef> names = node.synced_names;
  for (const Node::NameChange& change : node.name_changes) {
    if (random() % 2 == 0) {
      Node::Change(change, names);
    }
  }
  for (const auto& [name, child] : names) {
    after->names[name] = AfterCrash(*child, random, done);
  }
  after->synced_bytes = after->bytes;
  after->synced_names = after->names;
  return after;
}

std::unique_ptr<MemoryFiles> MemoryFiles::Crash(std::mt19937_64& random) const {
  const std::lock_guard lock(mutex_);
  auto files = std::make_unique<MemoryFiles>();
  std::map<const Node*, NodeRef> done;
  files->top_ = AfterCrash(*top_, random, done);
  return files;
}

std::string& MemoryFiles::BytesOf(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return top_->names.at(name)->bytes;
}

int MemoryFiles::Fault(std::string_view call) const {
  return fault ? fault(call) : 0;
}

int MemoryFiles::Opened(NodeRef node) {
  open_[next_] = std::move(node);
  return next_++;
}

int MemoryFiles::OpenFolder(const std::string& /*path*/) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("open folder");
  return error != 0 ? error : Opened(top_);
}

int MemoryFiles::OpenFolder(int folder, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("open folder"); error != 0) {
    return error;
  }
  const auto it = At(folder).names.find(name);
  return it == At(folder).names.end() ? -ENOENT
         : !it->second->folder        ? -ENOTDIR
                                      : Opened(it->second);
}

int MemoryFiles::Open(int folder, const std::string& name, Mode mode) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("open"); error != 0) {
    return error;
  }
  const auto it = At(folder).names.find(name);
  const bool exists = it != At(folder).names.end();
  if (mode == Mode::kCreate) {
    const auto node = std::make_shared<Node>();
    const int error = exists ? -EEXIST : Add(folder, name, node);
    return error != 0 ? error : Opened(node);
  }
  return !exists ? -ENOENT : it->second->folder ? -EISDIR : Opened(it->second);
}

int MemoryFiles::Add(int folder, const std::string& name, NodeRef node) {
  At(folder).Change({.name = name, .node = std::move(node), .from = {}});
  return 0;
}

void MemoryFiles::Close(int descriptor) noexcept {
  const std::lock_guard lock(mutex_);
  At(descriptor).locked = false;
  open_.erase(descriptor);
}

std::int64_t MemoryFiles::Write(int file, std::uint64_t offset, std::string_view bytes) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("write"); error != 0) {
    return error;
  }
  bytes = bytes.substr(0, bytes_max);
  At(file).Change(ByteChange{.offset = offset, .bytes = std::string(bytes)});
  return static_cast<std::int64_t>(bytes.size());
}

std::int64_t MemoryFiles::Read(int file, std::uint64_t offset, std::span<char> bytes) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("read"); error != 0) {
    return error;
  }
  const std::string& from = At(file).bytes;
  const std::string_view read = std::string_view(from)
                                    .substr(std::min<std::size_t>(offset, from.size()))
                                    .substr(0, std::min(bytes.size(), bytes_max));
  std::copy(read.begin(), read.end(), bytes.begin());
  return static_cast<std::int64_t>(read.size());
}

std::int64_t MemoryFiles::Size(int file) {
  const std::lock_guard lock(mutex_);
  return static_cast<std::int64_t>(At(file).bytes.size());
}

int MemoryFiles::Reserve(int file, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("reserve");
  if (error == 0 && At(file).bytes.size() < size) {
    At(file).Change(ByteChange{.sets_size = true, .offset = size, .bytes = {}});
  }
  return error;
}

int MemoryFiles::Truncate(int file, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("truncate");
  if (error == 0) {
    At(file).Change(ByteChange{.sets_size = true, .offset = size, .bytes = {}});
  }
  return error;
}

int MemoryFiles::Sync(int descriptor) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("sync");
  if (error == 0) {
    Node& node = At(descriptor);
    node.byte_changes.clear();
    node.name_changes.clear();
    node.synced_bytes = node.bytes;
    node.synced_names = node.names;
  }
  return error;
}

int MemoryFiles::MakeFolder(int folder, const std::string& name) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("make folder"); error != 0) {
    return error;
  }
  const auto node = std::make_shared<Node>();
  node->folder = true;
  return At(folder).names.contains(name) ? -EEXIST : Add(folder, name, node);
}

int MemoryFiles::Rename(int folder, const std::string& from, const std::string& to) {
  const std::lock_guard lock(mutex_);
  if (const int error = Fault("rename"); error != 0) {
    return error;
  }
  const auto it = At(folder).names.find(from);
  if (it == At(folder).names.end()) {
    return -ENOENT;
  }
  At(folder).Change({.name = to, .node = it->second, .from = from});
  return 0;
}

int MemoryFiles::Drop(int folder, const std::string& name, bool is_folder) {
  const auto it = At(folder).names.find(name);
  if (it == At(folder).names.end()) {
    return -ENOENT;
  }
  if (it->second->folder != is_folder) {
    return is_folder ? -ENOTDIR : -EISDIR;
  }
  if (!it->second->names.empty()) {
    return -ENOTEMPTY;
  }
  At(folder).Change({.name = name, .node = nullptr, .from = {}});
  return 0;
}

int MemoryFiles::Remove(int folder, const std::string& name) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("remove");
  return error != 0 ? error : Drop(folder, name, false);
}

int MemoryFiles::RemoveFolder(int folder, const std::string& name) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("remove folder");
  return error != 0 ? error : Drop(folder, name, true);
}

int MemoryFiles::List(int folder, std::vector<std::string>& names) {
  const std::lock_guard lock(mutex_);
  names.clear();
  const int error = Fault("list");
  for (const auto& [name, node] : At(folder).names) {
    names.push_back(name);
  }
  return error;
}

int MemoryFiles::Lock(int folder) {
  const std::lock_guard lock(mutex_);
  const int error = Fault("lock");
  return error != 0 ? error : std::exchange(At(folder).locked, true) ? -EWOULDBLOCK : 0;
}

}  // namespace sluice::server
