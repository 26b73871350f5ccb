// Partitions and their fields.
#include <algorithm>
#include <string>
#include <vector>

#include "server/metrics/families.h"
#include "server/metrics/metrics.h"
#include "store/partition.h"

namespace sluice::server {
namespace {

struct Listed {
  store::Text name;
  std::int64_t rows = 0;
  std::int64_t bytes = 0;
  std::vector<store::FieldSummary> fields;
};

struct Listing {
  std::vector<Listed> partitions;  // by name
  std::int64_t not_listed = 0;
};

Listed Describe(const store::Partition& partition) {
  Listed listed = {
      .name = partition.Name(), .rows = static_cast<std::int64_t>(partition.Rows()), .fields = {}};
  partition.Summarize(listed.fields);
  for (const store::FieldSummary& field : listed.fields) {
    listed.bytes += static_cast<std::int64_t>(field.bytes);
  }
  return listed;
}

Listing ListPartitions(Server& server) {
  Listing listing;
  std::string from;
  std::size_t fields = 0;
  for (bool more = true; more;) {
    Engine::Turn turn(server.engine, server.clock);
    turn.Enter();
    const store::Partition* const partition = server.store.PartitionFrom(from);
    more = partition != nullptr && fields < kListedFieldsMax &&
           listing.partitions.size() < kListedPartitionsMax;
    if (more) {
      listing.partitions.push_back(Describe(*partition));
      fields += listing.partitions.back().fields.size();
      from = partition->Name().View();
      from += '\0';  // the next name that there could be
    } else if (partition != nullptr) {
      const std::size_t listed = listing.partitions.size();  // some may be gone by now
      listing.not_listed =
          static_cast<std::int64_t>(std::max(server.store.Partitions(), listed + 1) - listed);
    }
  }
  return listing;
}

}  // namespace

void PartitionMetrics(Server& server, PrometheusText& text) {
  const Listing listing = ListPartitions(server);
  text.Gauge("partitions_not_listed",
             "Partitions that are missing below, since there are too many for one page.");
  text.Sample({}, listing.not_listed);
  text.Gauge("partition_rows", "Rows, by partition.");
  for (const Listed& partition : listing.partitions) {
    text.Sample({{"partition", partition.name.View()}}, partition.rows);
  }
  text.Gauge("partition_bytes", "Bytes of values, by partition; what rows share counts once.");
  for (const Listed& partition : listing.partitions) {
    text.Sample({{"partition", partition.name.View()}}, partition.bytes);
  }
  text.Gauge("field_ready_rows", "Rows in which a field was produced, by partition and field.");
  for (const Listed& partition : listing.partitions) {
    for (const store::FieldSummary& field : partition.fields) {
      text.Sample({{"partition", partition.name.View()}, {"field", field.name.View()}},
                  field.ready_rows);
    }
  }
}

}  // namespace sluice::server
