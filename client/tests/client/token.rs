//! The token that calls show.

use leasehold::proto::admin_service_server::{AdminService, AdminServiceServer};
use leasehold::proto::{
    CheckPolicyRequest, CheckPolicyResponse, GetStatusRequest, GetStatusResponse, StepDownRequest, StepDownResponse,
    WhoAmIRequest, WhoAmIResponse,
};
use leasehold::{Access, Client, Error};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

/// Notes what each call shows.
#[derive(Clone, Default)]
struct Porter(Arc<Mutex<Vec<Option<String>>>>);

#[tonic::async_trait]
impl AdminService for Porter {
    async fn get_status(&self, request: Request<GetStatusRequest>) -> Result<Response<GetStatusResponse>, Status> {
        let shown = request.metadata().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        self.0.lock().unwrap().push(shown);
        Ok(Response::new(GetStatusResponse::default()))
    }

    async fn step_down(&self, _: Request<StepDownRequest>) -> Result<Response<StepDownResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn who_am_i(&self, _: Request<WhoAmIRequest>) -> Result<Response<WhoAmIResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    async fn check_policy(&self, _: Request<CheckPolicyRequest>) -> Result<Response<CheckPolicyResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

#[tokio::test]
async fn it_is_shown_with_each_call_and_a_file_without_one_is_refused_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let porter = Porter::default();
    let service = AdminServiceServer::new(porter.clone());
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming));
    let file = std::env::temp_dir().join(format!("leasehold-shown-token-{}", std::process::id()));
    let access = || Access::new().token_file(&file);
    let error = Client::connect_with(&*address, access()).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { what: "the token (--token-file, LEASEHOLD_TOKEN_FILE)", .. }), "{error}");
    std::fs::write(&file, "secret.token\n").unwrap();
    let client = Client::connect_with(&*address, access()).await.unwrap();
    client.status().await.unwrap();
    let error = Client::connect_with("10.0.0.1:7400", access()).await.unwrap_err().to_string();
    assert!(error.contains("isn't sent in plain text"), "{error}");
    Client::connect_with(&*address, Access::new()).await.unwrap();
    let shown = porter.0.lock().unwrap().clone();
    std::fs::remove_file(&file).unwrap();
    let token = || Some("Bearer secret.token".to_owned());
    assert_eq!(shown, [token(), token(), None]);
}
