module leasehold.example/cluster

go 1.26.0
