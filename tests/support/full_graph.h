// A workflow's graph with one of every op.
#pragma once

namespace gyr::test {

inline const char* const kFullGraph = R"({"version":1,
  "inputs":[{"name":"user","dtype":"int64","tags":["user_id"]},{"name":"age","dtype":"float32"},
            {"name":"price","dtype":"float64"},{"name":"genre","dtype":"string","tags":["item"]},
            {"name":"history","dtype":"int64","list":true,"tags":["user"]},{"name":"item","dtype":"int64"},
            {"name":"at","dtype":"timestamp"},{"name":"words","dtype":"string","list":true}],
  "ops":[{"op":"Filter","expr":"price >= 0","optional":true},
         {"op":"Dropna","columns":["item"],"optional":true},
         {"op":"FillMissing","columns":["age"],"value":30,"add_binary_cols":true},
         {"op":"NormalizeMinMax","columns":["age"]},
         {"op":"LogOp","columns":["price"],"as":["price_log"]},
         {"op":"Normalize","columns":["price_log"]},
         {"op":"Clip","columns":["price"],"as":["price_clip"],"min_value":1,"max_value":20},
         {"op":"Bucketize","columns":["price"],"boundaries":[2,5,10]},
         {"op":"HashBucket","columns":["genre"],"as":["genre_hash"],"num_buckets":7},
         {"op":"Categorify","columns":["genre","words"],"groups":[["genre","words"]],"freq_threshold":2},
         {"op":"Categorify","columns":["user"],"num_buckets":2,"max_size":7},
         {"op":"Categorify","columns":["item","history"],"joint":true},
         {"op":"ListSlice","columns":["history"],"as":["last"],"start":-2,"pad":true},
         {"op":"AddTags","columns":["last"],"tags":["sequence"]},
         {"op":"Rename","columns":["at"],"name":"when"}]})";

}  // namespace gyr::test
