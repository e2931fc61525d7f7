// The timeline: live tail, brush, completion from the data.
