// File and Folder: open files and folders of the data directory, with whole reads and writes and
// with errors that name the file. See file_system.h for the calls below.
//
// Thread safety: one caller at a time.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "server/persistence/file_system.h"

namespace sluice::server {

// Owns a descriptor. Errors of all functions: kError, "<path>: <what failed>: <text of errno>".
class File {
 public:
  File(FileSystem& files, int descriptor, std::string path)
      : files_(&files), descriptor_(descriptor), path_(std::move(path)) {}
  File(File&& other) noexcept
      : files_(other.files_),
        descriptor_(std::exchange(other.descriptor_, -1)),
        path_(std::move(other.path_)) {}
  File& operator=(File&& other) noexcept {
    std::swap(files_, other.files_);
    std::swap(descriptor_, other.descriptor_);
    std::swap(path_, other.path_);
    return *this;
  }
  ~File();

  // For messages.
  [[nodiscard]] const std::string& Path() const { return path_; }
  // Writes all bytes. After an error some of them may be written.
  Status Write(std::uint64_t offset, std::string_view bytes);
  // Fills `bytes` unless the file ends before; returns how many were read.
  Result<std::size_t> Read(std::uint64_t offset, std::span<char> bytes);
  Result<std::uint64_t> Size();
  Status Reserve(std::uint64_t size);
  Status Truncate(std::uint64_t size);
  // After an error the file must not be used any more: see FileSystem::Sync().
  Status Sync();

 private:
  [[nodiscard]] Status Failed(std::string_view what, std::int64_t error) const;

  FileSystem* files_;
  int descriptor_;
  std::string path_;
};

class Folder {
 public:
  // Opens the data directory.
  static Result<Folder> Open(FileSystem& files, const std::string& path);
  Folder(Folder&& other) noexcept
      : files_(other.files_),
        descriptor_(std::exchange(other.descriptor_, -1)),
        path_(std::move(other.path_)) {}
  Folder& operator=(Folder&&) = delete;
  ~Folder();

  // `name`: without '/'. Errors: as File.
  Result<Folder> OpenFolder(const std::string& name);
  Result<File> Open(const std::string& name, FileSystem::Mode mode);
  Status MakeFolder(const std::string& name);
  Status Rename(const std::string& from, const std::string& to);
  Status Remove(const std::string& name);
  Status RemoveFolder(const std::string& name);
  // Waits until created, renamed and removed names are on disk.
  Status Sync();
  // Returns the names in the folder, sorted.
  Result<std::vector<std::string>> Names();
  // Errors: as File; kError that says so if another server has the folder.
  Status Lock();

 private:
  Folder(FileSystem& files, int descriptor, std::string path)
      : files_(&files), descriptor_(descriptor), path_(std::move(path)) {}
  [[nodiscard]] Status Check(int result, std::string_view what, const std::string& name) const;

  FileSystem* files_;
  int descriptor_;
  std::string path_;
};

}  // namespace sluice::server
