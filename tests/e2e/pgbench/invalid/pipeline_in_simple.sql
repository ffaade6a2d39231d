-- error: 2:1: pipelines need -M extended or -M prepared
\startpipeline
SELECT 1;
\endpipeline
