// MemoryFiles: files for tests, which remember what was synced. Any call can be made to fail, and
// Crash() returns what a machine that lost power now could find on its disk.
//
// Thread safety: any thread; `fault` and `bytes_max` are set while no call runs.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "server/persistence/file_system.h"

namespace sluice::server {

class MemoryFiles final : public FileSystem {
 public:
  MemoryFiles();
  ~MemoryFiles() override;

  // Called before each call, with its name. Returns 0, or the -errno that the call returns instead.
  // May call Crash().
  std::function<int(std::string_view call)> fault;
  // Most bytes that one Write() or Read() takes.
  std::size_t bytes_max = SIZE_MAX;

  // Each change since the last sync of its file or folder is there, or not, or a part of it is
  // there: a prefix, or some blocks of 512 or 4,096 bytes.
  [[nodiscard]] std::unique_ptr<MemoryFiles> Crash(std::mt19937_64& random) const;

  // A file in the top folder. REQUIRES: it exists.
  [[nodiscard]] std::string& BytesOf(const std::string& name);

  int OpenFolder(const std::string& path) override;
  int OpenFolder(int folder, const std::string& name) override;
  int Open(int folder, const std::string& name, Mode mode) override;
  void Close(int descriptor) noexcept override;
  std::int64_t Write(int file, std::uint64_t offset, std::string_view bytes) override;
  std::int64_t Read(int file, std::uint64_t offset, std::span<char> bytes) override;
  std::int64_t Size(int file) override;
  int Reserve(int file, std::uint64_t size) override;
  int Truncate(int file, std::uint64_t size) override;
  int Sync(int descriptor) override;
  int MakeFolder(int folder, const std::string& name) override;
  int Rename(int folder, const std::string& from, const std::string& to) override;
  int Remove(int folder, const std::string& name) override;
  int RemoveFolder(int folder, const std::string& name) override;
  int List(int folder, std::vector<std::string>& names) override;
  int Lock(int folder) override;

 private:
  struct Node;
  using NodeRef = std::shared_ptr<Node>;

  [[nodiscard]] int Fault(std::string_view call) const;
  int Opened(NodeRef node);
  [[nodiscard]] Node& At(int descriptor) { return *open_.at(descriptor); }
  int Add(int folder, const std::string& name, NodeRef node);
  int Drop(int folder, const std::string& name, bool is_folder);
  static NodeRef AfterCrash(const Node& node, std::mt19937_64& random,
                            std::map<const Node*, NodeRef>& done);

  mutable std::recursive_mutex mutex_;
  NodeRef top_;
  std::map<int, NodeRef> open_;
  int next_ = 100;
};

}  // namespace sluice::server
