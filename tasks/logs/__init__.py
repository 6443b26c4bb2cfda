"""Where calls come from and where they land: files, buckets and servers, one shard a day."""
