-- options: -M extended
-- error: 4:1: \startpipeline in a pipeline
\startpipeline
\startpipeline
