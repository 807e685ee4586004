/* SPDX-License-Identifier: MIT */
/*
 * limits.h - every limit of the protocol, in one place.
 */
#ifndef SPATE_PROTO_LIMITS_H
#define SPATE_PROTO_LIMITS_H

#define PROTO_VERSION 1

#define BLOB_SMALL_MAX (1u << 20)  /* content up to here is one blob */
#define CHUNK_BYTES (1u << 20)     /* usual length of a chunk of larger content, and of a hole */
#define BLOB_BYTES_MAX (4u << 20)  /* a chunk or a list */
#define BLOB_INDEX_MIN (64u << 10) /* the hub indexes contents above this by hash */
#define BULK_BYTES_MAX (32u << 20) /* a whole bulk or blobs body */
#define BULK_CHANGES_MAX 65536u
#define RECORD_BYTES_MAX (16u << 10) /* one MessagePack record */
#define TARGET_BYTES_MAX 4095u       /* a symlink's target */
#define FETCH_ITEMS_MAX 4096u
#define FETCH_BYTES_MAX (8u << 20)
#define QUERY_HASHES_MAX 4096u
#define JOINS_MAX 64u               /* in one request, */
#define JOIN_PARTS_MAX 512u         /* each of so many parts, */
#define JOIN_BYTES_MAX (32u << 20)  /* and so many bytes together; one is at most BLOB_BYTES_MAX */
#define DELTA_LISTS_MAX (32u << 20) /* bytes of lists one commit has made from deltas */
#define MANIFEST_PAGE_MAX 10000u
#define MANIFEST_BYTES_MAX (4u << 20)
#define WORKSPACE_NAME_MAX 64
#define FILE_BYTES_MAX (((BLOB_BYTES_MAX - 13) / 36) * (uint64_t)CHUNK_BYTES)

#endif
